-- A text from its reservation to its bill. Reserving is done as the person; ending it, with the secret key alone.

-- A text nobody ended by then never will be: its room has long given up.
create function private.is_open_text(p_run public.text_runs) returns boolean
language sql stable set search_path = ''
as $$
  select p_run.status = 'running' and p_run.created_at > now() - interval '15 minutes';
$$;

create or replace function private.read_credits(p_user_id uuid, out balance bigint, out reserved bigint)
language sql stable set search_path = ''
as $$
  select
    (select coalesce(sum(amount), 0) from public.credit_ledger where user_id = p_user_id),
    (select coalesce(sum(credits), 0) from public.jobs where user_id = p_user_id and finished_at is null)
      + (
        select coalesce(sum(run.reserved), 0) from public.text_runs run
        where run.user_id = p_user_id and run.status = 'running' and private.is_open_text(run)
      );
$$;

create or replace function private.describe_account(p_user_id uuid) returns jsonb
language sql stable set search_path = ''
as $$
  select jsonb_build_object(
    'balance', credits.balance,
    'reserved', credits.reserved,
    'open_jobs', coalesce((
      select jsonb_agg(jsonb_build_object('id', id, 'credits', jobs.credits) order by created_at, id)
      from public.jobs
      where user_id = p_user_id and finished_at is null
    ), '[]'),
    'open_texts', coalesce((
      select jsonb_agg(jsonb_build_object('id', run.id, 'credits', run.reserved) order by run.created_at, run.id)
      from public.text_runs run
      where run.user_id = p_user_id and run.status = 'running' and private.is_open_text(run)
    ), '[]'),
    'prices', jsonb_build_object(
      'scene', private.read_figure('prices', 'scene', 1),
      'text_per_1000_tokens', private.read_figure('prices', 'text_per_1000_tokens', 1)
    )
  )
  from private.read_credits(p_user_id) credits;
$$;

comment on function public.get_credits() is
  'The caller''s balance, what open jobs and texts reserve of it, those, and what new ones cost. Gives the welcome grant if it is due.';

-- Begun thousands count as whole ones.
create function private.price_of_text(p_tokens bigint) returns integer
language sql stable set search_path = ''
as $$
  select least(ceil(p_tokens * private.read_figure('prices', 'text_per_1000_tokens', 1) / 1000.0), 1000000)::integer;
$$;

create function public.open_text_run(
  p_id uuid, p_kind text, p_model text, p_room text, p_request_id text, p_max_tokens integer
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  caller uuid := private.require_user();
  run public.text_runs;
  price integer;
  available bigint;
begin
  if p_id is null or coalesce(p_kind, '') !~ '^[a-z][a-z_]{0,31}$' or coalesce(length(p_model), 0) not between 1 and 100
    or coalesce(p_room, '') !~ '^[0-9a-f]{64}$' or coalesce(length(p_request_id), 65) > 64
    or coalesce(p_max_tokens, 0) not between 1 and 1000000
  then
    raise sqlstate 'PT422' using message = 'a text needs an id, a kind, a model, a room, a request and a limit of tokens';
  end if;

  perform private.lock_credits(caller);

  select * into run from public.text_runs where id = p_id;
  if found then
    if run.user_id <> caller or run.kind <> p_kind or run.room <> p_room then
      raise sqlstate 'PT409' using message = 'this id belongs to another text';
    end if;
    if run.status = 'running' then
      return to_jsonb(run);
    end if;
    -- One that failed at no cost may be tried again under its id, as an idempotency key brings it.
    if run.credits > 0 or run.status = 'completed' then
      raise sqlstate 'PT409' using message = 'this text has ended';
    end if;
  end if;

  perform private.ensure_welcome_grant(caller);
  price := private.price_of_text(p_max_tokens);
  select balance - reserved into available from private.read_credits(caller);
  if available < price then
    raise sqlstate 'PT402' using
      message = 'not enough credits',
      detail = format('%s needed, %s left', price, greatest(available, 0));
  end if;

  insert into public.text_runs (id, user_id, kind, model, room, request_id, reserved)
  values (p_id, caller, p_kind, p_model, p_room, p_request_id, price)
  on conflict (id) do update set
    status = 'running', model = excluded.model, request_id = excluded.request_id, reserved = excluded.reserved,
    created_at = now(), finished_at = null, error = null
  where text_runs.user_id = excluded.user_id
  returning * into run;
  -- Somebody else took the id in this very moment: the lock above is per person.
  if not found then
    raise sqlstate 'PT409' using message = 'this id belongs to another text';
  end if;
  return to_jsonb(run);
end;
$$;

comment on function public.open_text_run(uuid, text, text, text, text, integer) is
  'Reserves what a text of the caller may cost. The same id again is the same text; 401, 402, 409, 422.';

create function private.add_text_totals(p_run public.text_runs) returns void
language sql volatile set search_path = ''
as $$
  insert into public.text_totals as totals
    (kind, status, cached, runs, prompt_tokens, completion_tokens, switches, first_token_ms, duration_ms)
  values (
    p_run.kind, p_run.status, p_run.cached, 1, p_run.prompt_tokens, p_run.completion_tokens, p_run.switches,
    coalesce(p_run.first_token_ms, 0), coalesce(p_run.duration_ms, 0)
  )
  on conflict (kind, status, cached) do update set
    runs = totals.runs + 1,
    prompt_tokens = totals.prompt_tokens + excluded.prompt_tokens,
    completion_tokens = totals.completion_tokens + excluded.completion_tokens,
    switches = totals.switches + excluded.switches,
    first_token_ms = totals.first_token_ms + excluded.first_token_ms,
    duration_ms = totals.duration_ms + excluded.duration_ms;
$$;

create function public.settle_text_run(
  p_id uuid, p_status text, p_prompt_tokens integer, p_completion_tokens integer, p_is_charged boolean,
  p_switches integer, p_first_token_ms integer, p_duration_ms integer, p_error text
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  run public.text_runs;
  cost integer := 0;
begin
  if coalesce(p_status, '') not in ('completed', 'failed', 'cancelled') then
    raise sqlstate 'PT422' using message = 'a text ends as completed, failed or cancelled';
  end if;
  select * into run from public.text_runs where id = p_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'no such text';
  end if;
  if run.status <> 'running' then
    return jsonb_build_object('applied', false, 'credits', run.credits);
  end if;

  if p_is_charged then
    -- Never more than was held: what a person may spend was checked against that.
    cost := least(run.reserved, private.price_of_text(coalesce(p_prompt_tokens, 0)::bigint + coalesce(p_completion_tokens, 0)));
  end if;
  update public.text_runs set
    status = p_status,
    credits = cost,
    prompt_tokens = coalesce(p_prompt_tokens, 0),
    completion_tokens = coalesce(p_completion_tokens, 0),
    switches = coalesce(p_switches, 0),
    first_token_ms = p_first_token_ms,
    duration_ms = p_duration_ms,
    error = p_error,
    finished_at = now()
  where id = p_id
  returning * into run;
  if cost > 0 then
    insert into public.credit_ledger (user_id, job_id, kind, amount, reason)
    values (run.user_id, run.id, 'charge', -cost, run.kind);
  end if;
  perform private.add_text_totals(run);
  return jsonb_build_object('applied', true, 'credits', cost);
end;
$$;

comment on function public.settle_text_run(uuid, text, integer, integer, boolean, integer, integer, integer, text) is
  'Ends a text with its charge, once. {applied, credits}: not applied if it had ended; 404, 422.';

create function public.record_free_text(
  p_id uuid, p_user_id uuid, p_kind text, p_model text, p_room text, p_request_id text, p_cache text, p_duration_ms integer
) returns void
language plpgsql volatile security definer set search_path = ''
as $$
declare
  run public.text_runs;
begin
  if coalesce(p_cache, '') not in ('hit', 'shared') then
    raise sqlstate 'PT422' using message = 'only an answer that was kept or shared is free';
  end if;
  insert into public.text_runs (id, user_id, kind, model, room, request_id, status, cached, duration_ms, finished_at)
  values (p_id, p_user_id, p_kind, p_model, p_room, p_request_id, 'completed', p_cache, p_duration_ms, now())
  on conflict (id) do nothing
  returning * into run;
  if found then
    perform private.add_text_totals(run);
  end if;
end;
$$;

comment on function public.record_free_text(uuid, uuid, text, text, text, text, text, integer) is
  'Records an answer that was kept or shared, and so cost nothing; once per id.';

create function public.delete_old_texts() returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  lost bigint;
  old bigint;
begin
  -- Their room died before it could send a bill: that is not their owner's to pay.
  update public.text_runs set status = 'failed', error = 'lost', finished_at = now()
  where status = 'running' and created_at < now() - interval '1 hour';
  get diagnostics lost = row_count;
  delete from public.text_runs
  where created_at < now() - make_interval(days => private.read_figure('retention', 'days', 90));
  get diagnostics old = row_count;
  return jsonb_build_object('lost_texts', lost, 'text_runs', old);
end;
$$;

comment on function public.delete_old_texts() is
  'Retention: ends texts that were lost, and removes those older than settings.retention.days. {lost_texts, text_runs}.';

revoke execute on function
  public.open_text_run(uuid, text, text, text, text, integer) from public, anon;
grant execute on function
  public.open_text_run(uuid, text, text, text, text, integer) to authenticated, service_role;
revoke execute on function
  public.settle_text_run(uuid, text, integer, integer, boolean, integer, integer, integer, text),
  public.record_free_text(uuid, uuid, text, text, text, text, text, integer),
  public.delete_old_texts()
from public, anon, authenticated;
grant execute on function
  public.settle_text_run(uuid, text, integer, integer, boolean, integer, integer, integer, text),
  public.record_free_text(uuid, uuid, text, text, text, text, text, integer),
  public.delete_old_texts()
to service_role;
revoke execute on function
  private.is_open_text(public.text_runs), private.price_of_text(bigint), private.add_text_totals(public.text_runs)
from public;
