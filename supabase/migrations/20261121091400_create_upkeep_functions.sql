-- Removing what is old, counting what is there, and saying what is guarded.

create function public.remove_finished_jobs(p_older_than_days integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  -- The service and admins clear everyone's.
  only_of uuid := case when private.is_service() then null else private.require_user() end;
  removed bigint;
begin
  if p_older_than_days is null or p_older_than_days < 0 then
    raise sqlstate 'PT422' using message = 'the age is a number of days, zero or more';
  end if;
  if only_of is not null and public.is_admin() then
    only_of := null;
  end if;
  delete from public.jobs
  where finished_at <= now() - make_interval(days => least(p_older_than_days, 36500))
    and (only_of is null or user_id = only_of);
  get diagnostics removed = row_count;
  return jsonb_build_object('removed', removed);
end;
$$;

comment on function public.remove_finished_jobs(integer) is
  'Removes ended jobs of that age: the caller''s, or everyone''s for an admin. Scenes and ledger stay. {removed}; 401, 422.';

create function public.delete_old_rows() returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  horizon timestamptz := now() - make_interval(days => private.read_figure('retention', 'days', 90));
  old_audit_logs bigint;
  old_outbox bigint;
begin
  delete from public.audit_logs where "timestamp" < horizon;
  get diagnostics old_audit_logs = row_count;
  -- Entries that were given up stay until an admin has looked.
  delete from public.outbox where status = 'delivered' and delivered_at < horizon;
  get diagnostics old_outbox = row_count;
  return jsonb_build_object('audit_logs', old_audit_logs, 'outbox', old_outbox);
end;
$$;

comment on function public.delete_old_rows() is
  'Retention: removes audit logs and delivered outbox entries older than settings.retention.days. {audit_logs, outbox}.';

create function public.job_counts() returns jsonb
language sql stable security definer set search_path = ''
as $$
  with counted as (
    select status as name, count(*) as n from public.jobs group by status
    union all
    select 'outbox_' || status, count(*) from public.outbox group by status
  )
  select jsonb_object_agg(name, coalesce(n, 0))
  from unnest(array[
    'queued', 'initializing', 'generating', 'saving', 'completed', 'failed', 'cancelled',
    'outbox_pending', 'outbox_delivered', 'outbox_dead'
  ]) name
  left join counted using (name);
$$;

comment on function public.job_counts() is
  'For metrics: jobs by status, and outbox entries as outbox_<status>; all names present.';

-- The guard of the guards: tests and the deployment check read it, so that no table or function is forgotten.
create function public.describe_security() returns jsonb
language sql stable security definer set search_path = ''
as $$
  select jsonb_build_object(
    'tables', (
      select coalesce(jsonb_agg(jsonb_build_object('name', relname, 'has_rls', relrowsecurity) order by relname), '[]')
      from pg_catalog.pg_class
      where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')
    ),
    'functions', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'name', proname,
        'arguments', pg_catalog.pg_get_function_identity_arguments(oid),
        'runs_as_owner', prosecdef,
        'anon', pg_catalog.has_function_privilege('anon', oid, 'execute'),
        'authenticated', pg_catalog.has_function_privilege('authenticated', oid, 'execute')
      ) order by proname), '[]')
      from pg_catalog.pg_proc
      where pronamespace = 'public'::regnamespace and prokind = 'f'
    )
  );
$$;

comment on function public.describe_security() is
  'Every table of public with its row-level security and every function with who may call it.';

revoke execute on function public.remove_finished_jobs(integer) from public, anon;
grant execute on function public.remove_finished_jobs(integer) to authenticated, service_role;
revoke execute on function
  public.delete_old_rows(), public.job_counts(), public.describe_security()
from public, anon, authenticated;
grant execute on function
  public.delete_old_rows(), public.job_counts(), public.describe_security()
to service_role;
