-- Ordering for any kind of job, and for somebody else as an admin: a product's own server orders in its people's names.

-- What a job costs: a price per kind, and for images per picture.
create function private.price_of_job(p_kind text, p_input jsonb) returns integer
language sql stable set search_path = ''
as $$
  select private.read_figure('prices', p_kind, 1) * case
    when p_kind = 'image' and jsonb_typeof(p_input -> 'num_images') = 'number'
      then least(greatest((p_input ->> 'num_images')::numeric, 1), 8)::integer
    else 1
  end;
$$;

-- The person a call is about: the caller, or for an admin anybody.
create function private.require_owner(p_user_id uuid) returns uuid
language plpgsql stable set search_path = ''
as $$
declare
  caller uuid := private.require_user();
begin
  if p_user_id is not null and p_user_id <> caller and not public.is_admin() then
    raise sqlstate 'PT403' using message = 'only an admin acts for somebody else';
  end if;
  return coalesce(p_user_id, caller);
end;
$$;

create function private.event_time() returns text
language sql volatile set search_path = ''
as $$
  select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');
$$;

create function private.add_image_generation(p_job public.jobs) returns void
language plpgsql volatile set search_path = ''
as $$
declare
  input jsonb := p_job.input;
  is_ours boolean;
begin
  begin
    insert into public.image_generations
      (id, job_id, user_id, prompt, input_image_url, num_images, size, format, style, quality, last_event)
    values (
      input ->> 'generation_id', p_job.id, p_job.user_id, input ->> 'prompt', input ->> 'input_image_url',
      coalesce((input ->> 'num_images')::integer, 1), input ->> 'size', coalesce(input ->> 'format', 'PNG'),
      input ->> 'style', coalesce(input ->> 'quality', 'medium'),
      jsonb_build_object('job_id', input ->> 'generation_id', 'event', 'queued', 'at', private.event_time())
    )
    on conflict (id) do nothing;
    is_ours := found;
  exception when check_violation or not_null_violation or invalid_text_representation or numeric_value_out_of_range then
    raise sqlstate 'PT422' using message = 'this is no order for images';
  end;
  if not is_ours then
    raise sqlstate 'PT409' using message = 'this id belongs to another job';
  end if;
end;
$$;

drop function public.create_job(uuid, text, jsonb);

create function public.create_job(p_id uuid, p_kind text, p_input jsonb, p_user_id uuid default null) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  owner uuid := private.require_owner(p_user_id);
  job public.jobs;
  price integer;
  available bigint;
begin
  if p_id is null or coalesce(p_kind, '') not in ('scene', 'image') or jsonb_typeof(p_input) is distinct from 'object' then
    raise sqlstate 'PT422' using message = 'a job needs an id, a known kind and an object as input';
  end if;
  if octet_length(p_input::text) > 65536 then
    raise sqlstate 'PT413' using message = 'the input is longer than 64 KiB';
  end if;

  perform private.lock_credits(owner);

  select * into job from public.jobs where id = p_id;
  if found then
    -- The caller's own id names an image, whatever else they say of it the second time.
    if job.user_id = owner and job.kind = p_kind and (
      job.input = p_input or (p_kind = 'image' and job.input -> 'generation_id' = p_input -> 'generation_id')
    ) then
      return to_jsonb(job);
    end if;
    raise sqlstate 'PT409' using message = 'this id belongs to another job';
  end if;
  -- A charged job that its owner removed: the same id again would run without being charged.
  if exists (select 1 from public.credit_ledger where job_id = p_id) then
    raise sqlstate 'PT409' using message = 'this id belonged to a job that is gone';
  end if;

  perform private.ensure_welcome_grant(owner);
  price := private.price_of_job(p_kind, p_input);
  select balance - reserved into available from private.read_credits(owner);
  if available < price then
    raise sqlstate 'PT402' using
      message = 'not enough credits',
      detail = format('%s needed, %s left', price, greatest(available, 0));
  end if;

  insert into public.jobs (id, user_id, kind, input, credits)
  values (p_id, owner, p_kind, p_input, price)
  on conflict (id) do nothing
  returning * into job;
  -- Somebody else took the id in this very moment: the lock above is per person.
  if not found then
    raise sqlstate 'PT409' using message = 'this id belongs to another job';
  end if;
  if p_kind = 'image' then
    perform private.add_image_generation(job);
  end if;
  return to_jsonb(job);
end;
$$;

comment on function public.create_job(uuid, text, jsonb, uuid) is
  'Accepts a job of the caller (an admin: of anybody) if the owner''s credits allow it. The same id and input again give the same job; 401, 402, 403, 409, 413, 422.';

create function public.withdraw_job(p_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  caller uuid := private.require_user();
  withdrawn bigint;
begin
  delete from public.jobs
  where id = p_id and kind = 'image' and status = 'queued' and attempts = 0
    and (user_id = caller or public.is_admin());
  get diagnostics withdrawn = row_count;
  if withdrawn > 0 then
    delete from public.image_generations where job_id = p_id;
  end if;
  return jsonb_build_object('withdrawn', withdrawn > 0);
end;
$$;

comment on function public.withdraw_job(uuid) is
  'Takes back an image job that never began, its id included, as if it had not been ordered. {withdrawn}; 401.';

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
      'image', private.read_figure('prices', 'image', 1),
      'text_per_1000_tokens', private.read_figure('prices', 'text_per_1000_tokens', 1)
    )
  )
  from private.read_credits(p_user_id) credits;
$$;

drop function public.get_credits();

create function public.get_credits(p_user_id uuid default null) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  owner uuid := private.require_owner(p_user_id);
begin
  perform private.ensure_welcome_grant(owner);
  return private.describe_account(owner);
end;
$$;

comment on function public.get_credits(uuid) is
  'The caller''s balance (for an admin: anybody''s), what open jobs and texts reserve of it, those, and what new ones cost. Gives the welcome grant if it is due.';

revoke execute on function
  private.price_of_job(text, jsonb), private.require_owner(uuid), private.event_time(),
  private.add_image_generation(public.jobs)
from public;
revoke execute on function
  public.create_job(uuid, text, jsonb, uuid), public.withdraw_job(uuid), public.get_credits(uuid) from public, anon;
grant execute on function
  public.create_job(uuid, text, jsonb, uuid), public.withdraw_job(uuid), public.get_credits(uuid)
to authenticated, service_role;
