-- Ordering a job and asking for one's credits. Called with the person's own token, so calling them without the
-- edge gains nothing: same price, same cap, and the input is validated again before anything runs.

-- The person behind the token; 401 for a key without one.
create function private.require_user() returns uuid
language plpgsql stable set search_path = ''
as $$
begin
  if auth.uid() is null then
    raise sqlstate 'PT401' using message = 'sign in first';
  end if;
  return auth.uid();
end;
$$;

-- Everything that lowers what a person may still spend runs one at a time per person.
create function private.lock_credits(p_user_id uuid) returns void
language sql volatile set search_path = ''
as $$
  select pg_advisory_xact_lock(hashtextextended('credits:' || p_user_id::text, 0));
$$;

-- Given on first use rather than at sign-up, so that people of any token issuer get it.
create function private.ensure_welcome_grant(p_user_id uuid) returns void
language sql volatile set search_path = ''
as $$
  insert into public.credit_ledger (user_id, kind, amount, reason)
  select p_user_id, 'grant', amount, 'welcome'
  from (select private.read_figure('credits', 'welcome', 100) as amount) welcome
  where amount > 0
  on conflict (user_id, reason) where kind = 'grant' do nothing;
$$;

-- Balance and reservations from one snapshot: between two statements a job could end and count in neither.
create function private.read_credits(p_user_id uuid, out balance bigint, out reserved bigint)
language sql stable set search_path = ''
as $$
  select
    (select coalesce(sum(amount), 0) from public.credit_ledger where user_id = p_user_id),
    (select coalesce(sum(credits), 0) from public.jobs where user_id = p_user_id and finished_at is null);
$$;

create function public.create_job(p_id uuid, p_kind text, p_input jsonb) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  caller uuid := private.require_user();
  job public.jobs;
  price integer;
  available bigint;
begin
  if p_id is null or p_kind is distinct from 'scene' or jsonb_typeof(p_input) is distinct from 'object' then
    raise sqlstate 'PT422' using message = 'a job needs an id, a known kind and an object as input';
  end if;
  if octet_length(p_input::text) > 65536 then
    raise sqlstate 'PT413' using message = 'the input is longer than 64 KiB';
  end if;

  perform private.lock_credits(caller);

  select * into job from public.jobs where id = p_id;
  if found then
    if job.user_id = caller and job.kind = p_kind and job.input = p_input then
      return to_jsonb(job);
    end if;
    raise sqlstate 'PT409' using message = 'this id belongs to another job';
  end if;
  -- A charged job that its owner removed: the same id again would run without being charged.
  if exists (select 1 from public.credit_ledger where job_id = p_id) then
    raise sqlstate 'PT409' using message = 'this id belonged to a job that is gone';
  end if;

  perform private.ensure_welcome_grant(caller);
  price := private.read_figure('prices', p_kind, 1);
  select balance - reserved into available from private.read_credits(caller);
  if available < price then
    raise sqlstate 'PT402' using
      message = 'not enough credits',
      detail = format('%s needed, %s left', price, greatest(available, 0));
  end if;

  insert into public.jobs (id, user_id, kind, input, credits)
  values (p_id, caller, p_kind, p_input, price)
  on conflict (id) do nothing
  returning * into job;
  -- Somebody else took the id in this very moment: the lock above is per person.
  if not found then
    raise sqlstate 'PT409' using message = 'this id belongs to another job';
  end if;
  return to_jsonb(job);
end;
$$;

comment on function public.create_job(uuid, text, jsonb) is
  'Accepts a job of the caller if their credits allow it. The same id and input again give the same job; 401, 402, 409, 413, 422.';

create function public.get_credits() returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  caller uuid := private.require_user();
begin
  perform private.ensure_welcome_grant(caller);
  return (
    select jsonb_build_object(
      'balance', credits.balance,
      'reserved', credits.reserved,
      'open_jobs', coalesce((
        select jsonb_agg(jsonb_build_object('id', id, 'credits', jobs.credits) order by created_at, id)
        from public.jobs
        where user_id = caller and finished_at is null
      ), '[]')
    )
    from private.read_credits(caller) credits
  );
end;
$$;

comment on function public.get_credits() is
  'The caller''s balance, what open jobs reserve of it, and those jobs. Gives the welcome grant if it is due.';

revoke execute on function public.create_job(uuid, text, jsonb), public.get_credits() from public, anon;
grant execute on function public.create_job(uuid, text, jsonb), public.get_credits() to authenticated, service_role;
