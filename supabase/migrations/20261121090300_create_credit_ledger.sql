-- The record of what was given and spent. It is only ever added to: the balance is its sum.

create table public.credit_ledger (
  id bigint generated always as identity primary key,
  user_id uuid not null,
  job_id uuid,
  kind text not null check (kind in ('grant', 'charge')),
  amount integer not null,
  reason text not null check (reason <> ''),
  created_at timestamptz not null default now(),
  constraint credit_ledger_sign check (
    (kind = 'grant' and amount > 0) or (kind = 'charge' and amount <= 0 and job_id is not null)
  )
);

comment on column public.credit_ledger.job_id is 'No foreign key: the entry outlives the job when old jobs are removed.';
comment on column public.credit_ledger.amount is 'Signed: grants add, charges take away.';

-- A job is charged once, and a grant of one reason (the welcome, a plan''s month) is given once.
create unique index credit_ledger_one_per_job on public.credit_ledger (job_id) where job_id is not null;
create unique index credit_ledger_one_grant_per_reason on public.credit_ledger (user_id, reason) where kind = 'grant';
create index credit_ledger_by_owner on public.credit_ledger (user_id);

alter table public.credit_ledger enable row level security;
revoke all on public.credit_ledger from anon, authenticated, service_role;
grant select on public.credit_ledger to authenticated;
grant select, insert on public.credit_ledger to service_role;

create policy "people read their own ledger" on public.credit_ledger
  for select to authenticated
  using (user_id = (select auth.uid()));
