-- Grimoire's scenes. A row exists once its picture is stored: only finish_job writes one.

create table public.scenes (
  id uuid primary key,
  user_id uuid not null,
  world text not null,
  era text not null,
  class text not null,
  pose text not null,
  decor text not null,
  image_url text not null,
  status text not null default 'completed' check (status in ('completed')),
  created_at timestamptz not null default now()
);

comment on column public.scenes.id is 'The id of the job that made it. No foreign key: scenes stay when old jobs are removed.';
comment on column public.scenes.image_url is 'Bucket and path in storage; the edge turns it into the address it serves.';

create index scenes_by_owner on public.scenes (user_id, created_at desc, id desc);

alter table public.scenes enable row level security;
revoke all on public.scenes from anon, authenticated;
grant select, delete on public.scenes to authenticated;
grant all on public.scenes to service_role;

create policy "people read their own scenes" on public.scenes
  for select to authenticated
  using (user_id = (select auth.uid()));

create policy "people delete their own scenes" on public.scenes
  for delete to authenticated
  using (user_id = (select auth.uid()));
