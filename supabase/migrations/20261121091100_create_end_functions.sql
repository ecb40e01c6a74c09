-- The three ends of a job. Each takes the row's lock, looks whether the job has ended, and does everything or nothing:
-- so effects happen once, however often and however concurrently they are called.

-- The job, to be changed by nobody else until the end of the transaction.
create function private.lock_job(p_id uuid) returns public.jobs
language plpgsql volatile set search_path = ''
as $$
declare
  job public.jobs;
begin
  select * into job from public.jobs where id = p_id for update;
  if not found then
    raise sqlstate 'PT404' using message = 'no such job';
  end if;
  return job;
end;
$$;

-- What is told to the outside about a job: its input and its end. The person is left out.
create function private.add_outbox_entry(p_job public.jobs, p_event text, p_details jsonb) returns void
language sql volatile set search_path = ''
as $$
  insert into public.outbox (job_id, topic, event, payload)
  values (
    p_job.id, 'discord', p_job.kind || '.' || p_event,
    jsonb_build_object('job_id', p_job.id, p_job.kind, p_job.input) || p_details
  )
  on conflict (job_id, topic, event) where job_id is not null do nothing;
$$;

create function private.end_as_failed(p_job public.jobs, p_code text, p_detail text) returns public.jobs
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
  perform private.add_outbox_entry(job, 'failed', jsonb_build_object('error', job.error));
  return job;
end;
$$;

create function public.finish_job(p_id uuid, p_outputs jsonb, p_metadata jsonb default '{}') returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  job public.jobs;
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
  folder := format('%s/%s/%s/', 'scenes', job.user_id, job.id);
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
    where bucket_id = 'scenes' and name = substr(output ->> 'path', length('scenes/') + 1)
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

  insert into public.scenes (id, user_id, world, era, class, pose, decor, image_url)
  values (
    job.id, job.user_id,
    job.input ->> 'world', job.input ->> 'era', job.input ->> 'class', job.input ->> 'pose', job.input ->> 'decor',
    p_outputs -> 0 ->> 'path'
  );
  insert into public.credit_ledger (user_id, job_id, kind, amount, reason)
  values (job.user_id, job.id, 'charge', -job.credits, job.kind);
  perform private.add_outbox_entry(job, 'completed', jsonb_build_object(
    'image_path', p_outputs -> 0 ->> 'path',
    'metadata', coalesce(p_metadata, '{}')
  ));
  return jsonb_build_object('applied', true, 'job', to_jsonb(job));
end;
$$;

comment on function public.finish_job(uuid, jsonb, jsonb) is
  'Completes a job: its rows, its charge and its outbox entry, once. {applied, job}: not applied if it had ended; 404, 409 if a file is missing, 422.';

create function public.fail_job(p_id uuid, p_code text, p_detail text) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  job public.jobs;
begin
  job := private.lock_job(p_id);
  if job.finished_at is not null then
    return jsonb_build_object('applied', false, 'job', to_jsonb(job));
  end if;
  job := private.end_as_failed(job, p_code, p_detail);
  return jsonb_build_object('applied', true, 'job', to_jsonb(job));
end;
$$;

comment on function public.fail_job(uuid, text, text) is
  'Ends a job as failed, without a charge, once. {applied, job}: not applied if it had ended; 404.';

create function public.cancel_job(p_id uuid) returns jsonb
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
  end if;
  return to_jsonb(job);
end;
$$;

comment on function public.cancel_job(uuid) is
  'Cancels a job of the caller (an admin: anyone''s), without a charge. A job that has ended stays as it is; 401, 404.';

revoke execute on function
  public.finish_job(uuid, jsonb, jsonb), public.fail_job(uuid, text, text) from public, anon, authenticated;
grant execute on function
  public.finish_job(uuid, jsonb, jsonb), public.fail_job(uuid, text, text) to service_role;
revoke execute on function public.cancel_job(uuid) from public, anon;
grant execute on function public.cancel_job(uuid) to authenticated, service_role;
