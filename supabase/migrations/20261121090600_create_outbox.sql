-- What other systems are to be told, written in the transaction of what it reports: neither can happen alone.

create table public.outbox (
  id uuid primary key default gen_random_uuid(),
  sequence bigint generated always as identity unique,
  job_id uuid,
  topic text not null check (topic in ('discord')),
  event text not null check (event <> ''),
  payload jsonb not null check (jsonb_typeof(payload) = 'object'),
  status text not null default 'pending' check (status in ('pending', 'delivered', 'dead')),
  attempts integer not null default 0 check (attempts >= 0),
  next_attempt_at timestamptz not null default now(),
  last_error text,
  created_at timestamptz not null default now(),
  delivered_at timestamptz
);

comment on column public.outbox.sequence is 'Order of writing: a job''s entries are delivered in it.';
comment on column public.outbox.next_attempt_at is 'Not before; while an attempt is under way, the end of its lease.';
comment on column public.outbox.status is 'dead: given up, until an admin replays it.';

create unique index outbox_one_per_event on public.outbox (job_id, topic, event) where job_id is not null;
create index outbox_due on public.outbox (next_attempt_at) where status = 'pending';
create index outbox_pending_by_job on public.outbox (job_id, sequence) where status = 'pending';

alter table public.outbox enable row level security;
revoke all on public.outbox from anon, authenticated;
grant select on public.outbox to authenticated;
grant all on public.outbox to service_role;

create policy "admins read the outbox" on public.outbox
  for select to authenticated
  using ((select public.is_admin()));
