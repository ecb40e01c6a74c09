-- Sorami's pictures. A generation carries its caller's own id, which may be any word, beside the id of its job.

alter table public.jobs drop constraint jobs_kind_check;
alter table public.jobs add constraint jobs_kind_check check (kind in ('scene', 'image'));
alter table public.outbox drop constraint outbox_topic_check;
alter table public.outbox add constraint outbox_topic_check check (topic in ('discord', 'webhook'));

create table public.image_generations (
  id text primary key check (id ~ '^[A-Za-z0-9_-]{1,128}$'),
  job_id uuid not null unique,
  user_id uuid not null,
  prompt text not null check (length(prompt) between 1 and 4000),
  input_image_url text check (length(input_image_url) <= 2048),
  num_images integer not null default 1 check (num_images between 1 and 8),
  size text check (size ~ '^[1-9][0-9]{0,3}x[1-9][0-9]{0,3}$'),
  format text not null default 'PNG' check (format in ('PNG', 'JPEG', 'WEBP')),
  style text check (length(style) <= 120),
  quality text not null default 'medium' check (quality in ('low', 'medium', 'high')),
  status text not null default 'queued' check (
    status in ('queued', 'initializing', 'generating', 'saving', 'completed', 'failed')
  ),
  error_message text,
  last_event jsonb not null check (jsonb_typeof(last_event) = 'object'),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

comment on column public.image_generations.id is 'The caller''s own id, or the job''s if they gave none: the same id twice is the same generation.';
comment on column public.image_generations.job_id is 'No foreign key: generations stay when old jobs are removed.';
comment on column public.image_generations.size is 'Width x height; null: the model''s own.';
comment on column public.image_generations.status is 'As last told. A cancelled one is told as failed: receivers know no other end.';
comment on column public.image_generations.last_event is 'What the last webhook says, before it is put into words.';

create index image_generations_by_owner on public.image_generations (user_id, created_at desc, id desc);

alter table public.image_generations enable row level security;
revoke all on public.image_generations from anon, authenticated;
grant select on public.image_generations to authenticated;
grant all on public.image_generations to service_role;

create policy "people read their own generations, admins all" on public.image_generations
  for select to authenticated
  using (user_id = (select auth.uid()) or (select public.is_admin()));

create trigger image_generations_touch_updated_at
  before update on public.image_generations
  for each row execute function private.touch_updated_at();

create table public.image_files (
  id uuid primary key default gen_random_uuid(),
  "generationId" text not null references public.image_generations (id) on delete cascade,
  -- Clients quote the name above; a statement written by hand finds this one.
  generationid text generated always as ("generationId") stored,
  number integer not null check (number between 1 and 8),
  file_path text not null unique,
  url text not null,
  description text not null,
  format text not null check (format in ('PNG', 'JPEG', 'WEBP')),
  size_bytes bigint not null check (size_bytes >= 0),
  dimensions text not null,
  created_at timestamptz not null default now(),
  unique ("generationId", number)
);

comment on column public.image_files.file_path is 'Bucket and path in storage.';
comment on column public.image_files.url is 'Signed: whoever has it reads the file until it runs out.';

alter table public.image_files enable row level security;
revoke all on public.image_files from anon, authenticated;
grant select on public.image_files to authenticated;
grant all on public.image_files to service_role;

create policy "people read the files of generations they may read" on public.image_files
  for select to authenticated
  using (exists (select 1 from public.image_generations generation where generation.id = image_files."generationId"));

-- Results under <generation>/, pictures to start from under <user>/<job>/. Only the secret key writes.
insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types) values
  ('images', 'images', false, 26214400, array['image/png', 'image/jpeg', 'image/webp']),
  ('inputs', 'inputs', false, 10485760, array['image/png', 'image/jpeg', 'image/webp'])
on conflict (id) do update set
  public = excluded.public,
  file_size_limit = excluded.file_size_limit,
  allowed_mime_types = excluded.allowed_mime_types;

create policy "people read their own generated files" on storage.objects
  for select to authenticated
  using (bucket_id = 'images' and exists (
    select 1 from public.image_generations generation
    where generation.id = (storage.foldername(name))[1] and generation.user_id = (select auth.uid())
  ));

create policy "people read their own input files" on storage.objects
  for select to authenticated
  using (bucket_id = 'inputs' and (storage.foldername(name))[1] = (select auth.uid())::text);

update public.settings set value = value || '{"image": 1}' where key = 'prices';
