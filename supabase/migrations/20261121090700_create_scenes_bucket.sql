-- Pictures of scenes, under <user_id>/<job_id>/. Only the secret key writes; people read and remove their own.

insert into storage.buckets (id, name, public, file_size_limit, allowed_mime_types)
values ('scenes', 'scenes', false, 26214400, array['image/png', 'image/jpeg', 'image/webp'])
on conflict (id) do update set
  public = excluded.public,
  file_size_limit = excluded.file_size_limit,
  allowed_mime_types = excluded.allowed_mime_types;

create policy "people read their own scene files" on storage.objects
  for select to authenticated
  using (bucket_id = 'scenes' and (storage.foldername(name))[1] = (select auth.uid())::text);

create policy "people delete their own scene files" on storage.objects
  for delete to authenticated
  using (bucket_id = 'scenes' and (storage.foldername(name))[1] = (select auth.uid())::text);
