-- What a job's steps and ends do, by kind. A scene is told of on Discord at its end; of an image every step is told by
-- webhook, in order: steps that a run was too quick to report are told before its end all the same.

-- Once per event, however often a job is run; nothing may pass an entry of the same job that waits.
create function private.tell_of_image(p_job public.jobs, p_event text, p_facts jsonb) returns void
language plpgsql volatile set search_path = ''
as $$
declare
  facts jsonb := jsonb_build_object(
    'job_id', p_job.input ->> 'generation_id', 'event', p_event, 'at', private.event_time()
  ) || p_facts;
begin
  if exists (select 1 from public.outbox where job_id = p_job.id and topic = 'webhook' and event = 'image.' || p_event) then
    return;
  end if;
  insert into public.outbox (job_id, topic, event, payload) values (p_job.id, 'webhook', 'image.' || p_event, facts);
  update public.image_generations set
    status = p_event,
    last_event = facts,
    error_message = facts -> 'error' ->> 'detail'
  where job_id = p_job.id;
end;
$$;

create function private.tell_image_steps(p_job public.jobs, p_up_to text) returns void
language plpgsql volatile set search_path = ''
as $$
declare
  step text;
begin
  foreach step in array array['initializing', 'generating', 'saving'] loop
    perform private.tell_of_image(p_job, step, '{}');
    exit when step = p_up_to;
  end loop;
end;
$$;

-- The end of a job that made nothing.
create function private.tell_of_failure(p_job public.jobs, p_error jsonb) returns void
language plpgsql volatile set search_path = ''
as $$
begin
  if p_job.kind = 'image' then
    perform private.tell_of_image(p_job, 'failed', jsonb_build_object('error', p_error));
  else
    perform private.add_outbox_entry(p_job, 'failed', jsonb_build_object('error', p_error));
  end if;
end;
$$;

create or replace function private.end_as_failed(p_job public.jobs, p_code text, p_detail text) returns public.jobs
language plpgsql volatile set search_path = ''
as $$
declare
  job public.jobs;
begin
  update public.jobs set
    status = 'failed',
    error = jsonb_build_object('code', p_code, 'detail', p_detail),
    lease_until = null,
    finished_at = now()
  where id = p_job.id
  returning * into job;
  perform private.tell_of_failure(job, job.error);
  return job;
end;
$$;

create function private.add_scene(p_job public.jobs, p_metadata jsonb) returns void
language plpgsql volatile set search_path = ''
as $$
declare
  path text := p_job.outputs -> 0 ->> 'path';
begin
  insert into public.scenes (id, user_id, world, era, class, pose, decor, image_url)
  values (
    p_job.id, p_job.user_id,
    p_job.input ->> 'world', p_job.input ->> 'era', p_job.input ->> 'class', p_job.input ->> 'pose',
    p_job.input ->> 'decor', path
  );
  perform private.add_outbox_entry(p_job, 'completed', jsonb_build_object('image_path', path, 'metadata', p_metadata));
end;
$$;

create function private.add_image_files(p_job public.jobs, p_metadata jsonb) returns void
language plpgsql volatile set search_path = ''
as $$
declare
  generation public.image_generations;
  images jsonb;
begin
  select * into generation from public.image_generations where job_id = p_job.id;
  insert into public.image_files
    ("generationId", number, file_path, url, description, format, size_bytes, dimensions)
  select
    generation.id, file.number, file.output ->> 'path', coalesce(file.output ->> 'url', ''), generation.prompt,
    case file.output ->> 'content_type' when 'image/jpeg' then 'JPEG' when 'image/webp' then 'WEBP' else 'PNG' end,
    (file.output ->> 'bytes')::bigint, format('%sx%s', file.output ->> 'width', file.output ->> 'height')
  from jsonb_array_elements(p_job.outputs) with ordinality file (output, number);

  select jsonb_agg(jsonb_build_object(
    'file_path', file_path, 'url', url, 'description', description,
    'format', format, 'size_bytes', size_bytes, 'dimensions', dimensions
  ) order by number) into images
  from public.image_files where "generationId" = generation.id;

  perform private.tell_image_steps(p_job, 'saving');
  perform private.tell_of_image(p_job, 'completed', jsonb_build_object(
    'images', images,
    'metadata', p_metadata || jsonb_build_object(
      'model', p_job.outputs -> 0 -> 'model', 'model_revision', p_job.outputs -> 0 -> 'model_revision'
    )
  ));
end;
$$;

create or replace function public.finish_job(p_id uuid, p_outputs jsonb, p_metadata jsonb default '{}') returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  job public.jobs;
  bucket text;
  folder text;
  missing text;
begin
  job := private.lock_job(p_id);
  if job.finished_at is not null then
    return jsonb_build_object('applied', false, 'job', to_jsonb(job));
  end if;

  if jsonb_typeof(p_outputs) is distinct from 'array' or jsonb_array_length(p_outputs) = 0 then
    raise sqlstate 'PT422' using message = 'a completed job has at least one output';
  end if;
  if job.kind = 'image' then
    bucket := 'images';
    folder := format('images/%s/', job.input ->> 'generation_id');
  else
    bucket := 'scenes';
    folder := format('scenes/%s/%s/', job.user_id, job.id);
  end if;
  if exists (
    select 1 from jsonb_array_elements(p_outputs) output
    where not starts_with(coalesce(output ->> 'path', ''), folder)
  ) then
    raise sqlstate 'PT422' using message = 'an output lies outside the folder of its job';
  end if;
  -- The last guard of "completed is never said before every output is in storage".
  select output ->> 'path' into missing
  from jsonb_array_elements(p_outputs) output
  where not exists (
    select 1 from storage.objects
    where bucket_id = bucket and name = substr(output ->> 'path', length(bucket) + 2)
  )
  limit 1;
  if missing is not null then
    raise sqlstate 'PT409' using message = 'an output is not in storage', detail = missing;
  end if;

  update public.jobs set
    status = 'completed',
    progress = 100,
    message = '',
    outputs = p_outputs,
    error = null,
    lease_until = null,
    finished_at = now()
  where id = p_id
  returning * into job;

  if job.kind = 'image' then
    perform private.add_image_files(job, coalesce(p_metadata, '{}'));
  else
    perform private.add_scene(job, coalesce(p_metadata, '{}'));
  end if;
  insert into public.credit_ledger (user_id, job_id, kind, amount, reason)
  values (job.user_id, job.id, 'charge', -job.credits, job.kind);
  return jsonb_build_object('applied', true, 'job', to_jsonb(job));
end;
$$;

comment on function public.finish_job(uuid, jsonb, jsonb) is
  'Completes a job: its product''s rows, its charge and its outbox entries, once. {applied, job}: not applied if it had ended; 404, 409 if a file is missing, 422.';

create or replace function public.cancel_job(p_id uuid) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  caller uuid := private.require_user();
  job public.jobs;
begin
  job := private.lock_job(p_id);
  if job.user_id <> caller and not public.is_admin() then
    raise sqlstate 'PT404' using message = 'no such job';
  end if;
  if job.finished_at is null then
    update public.jobs set
      status = 'cancelled',
      lease_until = null,
      finished_at = now()
    where id = p_id
    returning * into job;
    -- Whoever waits for an image's webhook must hear of this end too; a scene's is its caller's own business.
    if job.kind = 'image' then
      perform private.tell_of_failure(job, jsonb_build_object('code', 'cancelled', 'detail', 'cancelled'));
    end if;
  end if;
  return to_jsonb(job);
end;
$$;

create or replace function public.claim_job(p_id uuid, p_lease_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  -- A poisoned job must not circle for ever; shared/src/limits.rs says the same.
  attempts_max constant integer := 8;
  job public.jobs;
  outcome text;
begin
  select * into job from public.jobs where id = p_id for update;
  if not found then
    return jsonb_build_object('outcome', 'missing', 'job', null);
  end if;
  if job.finished_at is not null then
    outcome := 'ended';
  elsif job.lease_until > now() then
    outcome := 'busy';
  elsif job.attempts >= attempts_max then
    job := private.end_as_failed(job, 'attempts_exhausted', format('gave up after %s attempts', job.attempts));
    outcome := 'ended';
  else
    update public.jobs set
      status = 'initializing',
      attempts = attempts + 1,
      started_at = coalesce(started_at, now()),
      lease_until = private.lease_end(p_lease_seconds)
    where id = p_id
    returning * into job;
    if job.kind = 'image' then
      perform private.tell_image_steps(job, 'initializing');
    end if;
    outcome := 'claimed';
  end if;
  return jsonb_build_object('outcome', outcome, 'job', to_jsonb(job));
end;
$$;

create or replace function public.report_progress(
  p_id uuid, p_status text, p_progress integer, p_message text, p_lease_seconds integer
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  job public.jobs;
begin
  if p_status is null or p_status not in ('initializing', 'generating', 'saving') then
    raise sqlstate 'PT422' using message = 'a run is initializing, generating or saving';
  end if;
  update public.jobs set
    status = p_status,
    progress = greatest(progress, least(coalesce(p_progress, 0), 99)),
    message = left(coalesce(p_message, ''), 500),
    lease_until = private.lease_end(p_lease_seconds)
  where id = p_id and finished_at is null
  returning * into job;
  if found then
    if job.kind = 'image' then
      perform private.tell_image_steps(job, p_status);
    end if;
  else
    select * into job from public.jobs where id = p_id;
    if not found then
      raise sqlstate 'PT404' using message = 'no such job';
    end if;
  end if;
  return jsonb_build_object('status', job.status);
end;
$$;

-- A file is made before its row, so one whose job still runs is left alone, and so is a young one. Pictures to start from
-- are nobody's once their job has ended.
create or replace function public.find_stray_files(p_limit integer, p_age_seconds integer) returns jsonb
language sql stable security definer set search_path = ''
as $$
  with file as (
    select
      bucket_id || '/' || name as path, bucket_id, split_part(name, '/', 1) as generation_id,
      case
        when bucket_id <> 'images' and split_part(name, '/', 2) ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
          then split_part(name, '/', 2)::uuid
      end as job_id
    from storage.objects
    where bucket_id in ('scenes', 'inputs', 'images')
      and greatest(created_at, updated_at)
        between now() - interval '3 days' and now() - make_interval(secs => greatest(coalesce(p_age_seconds, 900), 0))
  ), stray as (
    select path from file
    where case
      when bucket_id = 'images' then
        not exists (select 1 from public.image_files where file_path = file.path)
        and not exists (
          select 1 from public.image_generations generation
          join public.jobs on jobs.id = generation.job_id
          where generation.id = file.generation_id and jobs.finished_at is null
        )
      else
        job_id is not null
        and not exists (select 1 from public.scenes where id = file.job_id and image_url = file.path)
        and not exists (select 1 from public.jobs where id = file.job_id and finished_at is null)
    end
    limit least(greatest(coalesce(p_limit, 100), 0), 1000)
  )
  select coalesce(jsonb_agg(path), '[]') from stray;
$$;

comment on function public.find_stray_files(integer, integer) is
  'Files of the last days, older than so many seconds, whose job does not run and that no scene and no generation shows: [path].';

revoke execute on function
  private.tell_of_image(public.jobs, text, jsonb), private.tell_image_steps(public.jobs, text),
  private.tell_of_failure(public.jobs, jsonb), private.add_scene(public.jobs, jsonb),
  private.add_image_files(public.jobs, jsonb)
from public;
