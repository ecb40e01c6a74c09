-- Texts that people had written: one row per request, with what it took and what it cost. Their words are not kept here.

create table public.text_runs (
  id uuid primary key,
  user_id uuid not null,
  kind text not null check (kind ~ '^[a-z][a-z_]{0,31}$'),
  model text not null check (length(model) between 1 and 100),
  room text not null check (room ~ '^[0-9a-f]{64}$'),
  request_id text not null check (length(request_id) <= 64),
  status text not null default 'running' check (status in ('running', 'completed', 'failed', 'cancelled')),
  cached text not null default 'miss' check (cached in ('hit', 'miss', 'shared')),
  reserved integer not null default 0 check (reserved >= 0),
  credits integer not null default 0 check (credits between 0 and reserved),
  prompt_tokens integer not null default 0 check (prompt_tokens >= 0),
  completion_tokens integer not null default 0 check (completion_tokens >= 0),
  switches integer not null default 0 check (switches >= 0),
  first_token_ms integer check (first_token_ms >= 0),
  duration_ms integer check (duration_ms >= 0),
  error text,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  constraint text_runs_end_has_a_time check ((status = 'running') = (finished_at is null))
);

comment on column public.text_runs.room is 'The hash of the request: where its events can be had while they are kept.';
comment on column public.text_runs.cached is 'miss: written for this request; hit, shared: given from another one''s run, at no cost.';
comment on column public.text_runs.reserved is 'The most it may cost, fixed when it began; held while it runs.';
comment on column public.text_runs.credits is 'What it cost.';
comment on column public.text_runs.switches is 'Nodes that were left for another one before their first word.';

create index text_runs_by_owner on public.text_runs (user_id, created_at desc, id desc);
create index text_runs_running_by_owner on public.text_runs (user_id) where status = 'running';
create index text_runs_by_age on public.text_runs (created_at);

alter table public.text_runs enable row level security;
revoke all on public.text_runs from anon, authenticated, service_role;
grant select on public.text_runs to authenticated, service_role;

create policy "people read their own texts" on public.text_runs
  for select to authenticated
  using (user_id = (select auth.uid()));

-- Sums that outlive the rows, for metrics: counters must not fall when old rows are removed.
create table public.text_totals (
  kind text not null,
  status text not null,
  cached text not null,
  runs bigint not null default 0,
  prompt_tokens bigint not null default 0,
  completion_tokens bigint not null default 0,
  switches bigint not null default 0,
  first_token_ms bigint not null default 0,
  duration_ms bigint not null default 0,
  primary key (kind, status, cached)
);

alter table public.text_totals enable row level security;
revoke all on public.text_totals from anon, authenticated, service_role;
grant select on public.text_totals to service_role;

update public.settings set value = value || '{"text_per_1000_tokens": 1}' where key = 'prices';
