-- Delivering the outbox: claim what is due, settle each attempt, replay what was given up.

create function public.claim_outbox(p_limit integer, p_lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  entries jsonb;
begin
  with due as (
    select id from public.outbox entry
    where status = 'pending' and next_attempt_at <= now()
      -- Order per job: a later entry waits until the earlier one is delivered or given up.
      and not exists (
        select 1 from public.outbox earlier
        where earlier.job_id = entry.job_id
          and earlier.sequence < entry.sequence
          and earlier.status = 'pending'
      )
    order by sequence
    limit least(greatest(coalesce(p_limit, 10), 0), 100)
    for update skip locked
  ), claimed as (
    update public.outbox set attempts = attempts + 1, next_attempt_at = private.lease_end(p_lease_seconds)
    from due
    where outbox.id = due.id
    returning outbox.*
  )
  select coalesce(jsonb_agg(to_jsonb(claimed) order by sequence), '[]') into entries from claimed;
  return entries;
end;
$$;

comment on function public.claim_outbox(integer, integer) is
  'The entries due, the oldest of each job, leased so that nobody else delivers them meanwhile.';

create function public.settle_outbox(p_id uuid, p_outcome text, p_error text, p_retry_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  entry public.outbox;
begin
  if p_outcome is null or p_outcome not in ('delivered', 'retry', 'dead') then
    raise sqlstate 'PT422' using message = 'an attempt ends as delivered, retry or dead';
  end if;
  -- Only a pending entry: a late report of a lost attempt must not undo a delivery.
  update public.outbox set
    status = case p_outcome when 'retry' then 'pending' else p_outcome end,
    last_error = case when p_outcome = 'delivered' then null else left(p_error, 1000) end,
    delivered_at = case when p_outcome = 'delivered' then now() end,
    next_attempt_at = case
      when p_outcome = 'retry' then now() + make_interval(secs => least(greatest(coalesce(p_retry_seconds, 60), 0), 86400))
      else next_attempt_at
    end
  where id = p_id and status = 'pending'
  returning * into entry;
  if not found then
    select * into entry from public.outbox where id = p_id;
    if not found then
      raise sqlstate 'PT404' using message = 'no such outbox entry';
    end if;
  end if;
  return to_jsonb(entry);
end;
$$;

comment on function public.settle_outbox(uuid, text, text, integer) is
  'Records how an attempt ended: delivered, dead, or to be tried again after so many seconds. The entry as it now is; 404, 422.';

create function public.replay_outbox(p_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  entry public.outbox;
begin
  if not private.is_service() then
    perform private.require_user();
    if not public.is_admin() then
      raise sqlstate 'PT403' using message = 'only an admin replays an entry';
    end if;
  end if;
  update public.outbox set status = 'pending', attempts = 0, next_attempt_at = now()
  where id = p_id and status = 'dead'
  returning * into entry;
  if not found then
    if exists (select 1 from public.outbox where id = p_id) then
      raise sqlstate 'PT409' using message = 'only an entry that was given up can be replayed';
    end if;
    raise sqlstate 'PT404' using message = 'no such outbox entry';
  end if;
  return to_jsonb(entry);
end;
$$;

comment on function public.replay_outbox(uuid) is
  'Makes a given-up entry due again, as an admin or with the secret key; 403, 404, 409.';

revoke execute on function
  public.claim_outbox(integer, integer), public.settle_outbox(uuid, text, text, integer)
from public, anon, authenticated;
grant execute on function
  public.claim_outbox(integer, integer), public.settle_outbox(uuid, text, text, integer)
to service_role;
revoke execute on function public.replay_outbox(uuid) from public, anon;
grant execute on function public.replay_outbox(uuid) to authenticated, service_role;
