-- Looking after what two systems must agree on: accounts at the edge with the ledger, files in storage with rows. The
-- edge's crons call these, and count here what they put right.

create table public.counters (
  name text primary key check (name ~ '^[a-z][a-z_]{0,62}$'),
  value bigint not null default 0 check (value >= 0)
);

comment on table public.counters is 'What crons put right, ever since: the edge itself has no memory for metrics.';

alter table public.counters enable row level security;
revoke all on public.counters from anon, authenticated;
grant select on public.counters to authenticated;
grant all on public.counters to service_role;

create policy "admins read the counters" on public.counters
  for select to authenticated
  using ((select public.is_admin()));

create index jobs_by_end on public.jobs (finished_at) where finished_at is not null;
create index credit_ledger_by_time on public.credit_ledger (created_at);

-- All that an account is rebuilt from. The prices are what new orders cost; a job keeps the price it was accepted at.
create function private.describe_account(p_user_id uuid) returns jsonb
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
    'prices', jsonb_build_object('scene', private.read_figure('prices', 'scene', 1))
  )
  from private.read_credits(p_user_id) credits;
$$;

revoke execute on function private.describe_account(uuid) from public;

create or replace function public.get_credits() returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  caller uuid := private.require_user();
begin
  perform private.ensure_welcome_grant(caller);
  return private.describe_account(caller);
end;
$$;

comment on function public.get_credits() is
  'The caller''s balance, what open jobs reserve of it, those jobs, and what new ones cost. Gives the welcome grant if it is due.';

create function public.list_accounts(p_after uuid, p_limit integer, p_since_seconds integer) returns jsonb
language sql stable security definer set search_path = ''
as $$
  with since as (
    select now() - make_interval(secs => greatest(coalesce(p_since_seconds, 3600), 0)) as at
  ), active as (
    select distinct user_id
    from (
      select user_id from public.jobs where finished_at is null
      union all
      select user_id from public.jobs, since where finished_at > since.at
      union all
      select user_id from public.credit_ledger, since where created_at > since.at
    ) seen
    where p_after is null or user_id > p_after
    order by user_id
    limit least(greatest(coalesce(p_limit, 50), 0), 200)
  )
  select coalesce(
    jsonb_agg(private.describe_account(user_id) || jsonb_build_object('user_id', user_id) order by user_id), '[]'
  )
  from active;
$$;

comment on function public.list_accounts(uuid, integer, integer) is
  'People with open jobs, or with a job that ended or an entry in the ledger since so many seconds, in pages by id.';

-- A file is made before its row, so one whose job still runs is left alone, and so is a young one.
create function public.find_stray_files(p_limit integer, p_age_seconds integer) returns jsonb
language sql stable security definer set search_path = ''
as $$
  with file as (
    select bucket_id || '/' || name as path, split_part(name, '/', 2)::uuid as job_id
    from storage.objects
    where bucket_id = 'scenes'
      and split_part(name, '/', 2) ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
      and greatest(created_at, updated_at)
        between now() - interval '3 days' and now() - make_interval(secs => greatest(coalesce(p_age_seconds, 900), 0))
  ), stray as (
    select path from file
    where not exists (select 1 from public.scenes where id = file.job_id and image_url = file.path)
      and not exists (select 1 from public.jobs where id = file.job_id and finished_at is null)
    limit least(greatest(coalesce(p_limit, 100), 0), 1000)
  )
  select coalesce(jsonb_agg(path), '[]') from stray;
$$;

comment on function public.find_stray_files(integer, integer) is
  'Files of the last days, older than so many seconds, whose job does not run and that no scene shows: [path].';

create function public.add_to_counter(p_name text, p_by bigint) returns jsonb
language sql volatile security definer set search_path = ''
as $$
  insert into public.counters (name, value) values (p_name, greatest(coalesce(p_by, 0), 0))
  on conflict (name) do update set value = counters.value + excluded.value
  returning jsonb_build_object('value', value);
$$;

comment on function public.add_to_counter(text, bigint) is 'Counts something that was put right: {value}.';

create or replace function public.job_counts() returns jsonb
language sql stable security definer set search_path = ''
as $$
  with counted as (
    select status as name, count(*) as n from public.jobs group by status
    union all
    select 'outbox_' || status, count(*) from public.outbox group by status
    union all
    select 'counter_' || name, value from public.counters
  )
  select jsonb_object_agg(name, coalesce(n, 0))
  from unnest(array[
    'queued', 'initializing', 'generating', 'saving', 'completed', 'failed', 'cancelled',
    'outbox_pending', 'outbox_delivered', 'outbox_dead',
    'counter_accounts_corrected', 'counter_files_removed'
  ]) name
  left join counted using (name);
$$;

comment on function public.job_counts() is
  'For metrics: jobs by status, outbox entries as outbox_<status>, and counters as counter_<name>; all names present.';

revoke execute on function
  public.list_accounts(uuid, integer, integer), public.find_stray_files(integer, integer),
  public.add_to_counter(text, bigint)
from public, anon, authenticated;
grant execute on function
  public.list_accounts(uuid, integer, integer), public.find_stray_files(integer, integer),
  public.add_to_counter(text, bigint)
to service_role;
