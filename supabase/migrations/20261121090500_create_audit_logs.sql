-- Who changed what, for compliance. Nobody can rewrite it, the secret key included; delete_old_rows ages it out.

create table public.audit_logs (
  id uuid primary key default gen_random_uuid(),
  user_id uuid,
  action text not null check (action <> ''),
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  "timestamp" timestamptz not null default now()
);

comment on column public.audit_logs.id is 'Given by the edge, so that a message delivered twice is one row.';
comment on column public.audit_logs.user_id is 'Null when the call came without a person: a node, a webhook, a schedule.';
comment on column public.audit_logs.metadata is 'IP prefix, request id, response_time_ms; never a full address or an e-mail.';

create index audit_logs_by_time on public.audit_logs ("timestamp");

alter table public.audit_logs enable row level security;
revoke all on public.audit_logs from anon, authenticated, service_role;
grant select on public.audit_logs to authenticated;
grant select, insert on public.audit_logs to service_role;

create policy "admins read the audit logs" on public.audit_logs
  for select to authenticated
  using ((select public.is_admin()));
