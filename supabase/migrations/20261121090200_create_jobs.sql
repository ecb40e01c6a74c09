-- One life cycle for every generation. People read their own jobs; every change goes through a function,
-- so that no path exists on which a job ends twice or skips its effects.

create table public.jobs (
  id uuid primary key,
  user_id uuid not null,
  kind text not null check (kind in ('scene')),
  status text not null default 'queued' check (
    status in ('queued', 'initializing', 'generating', 'saving', 'completed', 'failed', 'cancelled')
  ),
  progress integer not null default 0 check (progress between 0 and 100),
  message text not null default '',
  input jsonb not null check (jsonb_typeof(input) = 'object'),
  outputs jsonb not null default '[]' check (jsonb_typeof(outputs) = 'array'),
  error jsonb check (jsonb_typeof(error) = 'object'),
  credits integer not null check (credits >= 0),
  attempts integer not null default 0 check (attempts >= 0),
  lease_until timestamptz,
  queued_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  updated_at timestamptz not null default now(),
  constraint jobs_end_has_a_time check (
    (status in ('completed', 'failed', 'cancelled')) = (finished_at is not null)
  )
);

comment on column public.jobs.id is 'Chosen by the caller: the same id twice is the same job.';
comment on column public.jobs.credits is 'Its price, fixed when it was accepted; reserved while it is open, charged when it completes.';
comment on column public.jobs.attempts is 'Runs started. Deliveries that found no node are not counted.';
comment on column public.jobs.lease_until is 'Until then the run is taken for alive and no other may start.';
comment on column public.jobs.queued_at is 'When it was last sent to the queue; the reaper sends it again if nothing followed.';

create index jobs_by_owner on public.jobs (user_id, created_at desc, id desc);
create index jobs_open_by_owner on public.jobs (user_id) where finished_at is null;
create index jobs_open_by_queue_time on public.jobs (queued_at) where finished_at is null;

alter table public.jobs enable row level security;
revoke all on public.jobs from anon, authenticated;
grant select on public.jobs to authenticated;
grant all on public.jobs to service_role;

create policy "people read their own jobs" on public.jobs
  for select to authenticated
  using (user_id = (select auth.uid()));

create trigger jobs_touch_updated_at
  before update on public.jobs
  for each row execute function private.touch_updated_at();
