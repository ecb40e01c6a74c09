-- A run's life between its claim and its end. The lease says who runs a job: one whose lease has run out is taken for
-- dead and may be claimed again.

-- From one second to an hour, whatever was asked for: a lease without end would strand its job.
create function private.lease_end(p_seconds integer) returns timestamptz
language sql stable set search_path = ''
as $$
  select now() + make_interval(secs => least(greatest(coalesce(p_seconds, 30), 1), 3600));
$$;

create function public.claim_job(p_id uuid, p_lease_seconds integer) returns jsonb
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
    outcome := 'claimed';
  end if;
  return jsonb_build_object('outcome', outcome, 'job', to_jsonb(job));
end;
$$;

comment on function public.claim_job(uuid, integer) is
  'Starts a run: {outcome: claimed | busy | ended | missing, job}. After eight attempts the job fails instead.';

create function public.report_progress(
  p_id uuid, p_status text, p_progress integer, p_message text, p_lease_seconds integer
) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  now_at text;
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
  returning status into now_at;
  if not found then
    select status into now_at from public.jobs where id = p_id;
    if not found then
      raise sqlstate 'PT404' using message = 'no such job';
    end if;
  end if;
  return jsonb_build_object('status', now_at);
end;
$$;

comment on function public.report_progress(uuid, text, integer, text, integer) is
  'Moves a running job on and extends its lease. {status} as it now is, so that a run learns of a cancellation; 404, 422.';

create function public.release_job(p_id uuid, p_message text, p_counts boolean) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  now_at text;
begin
  update public.jobs set
    status = 'queued',
    message = left(coalesce(p_message, ''), 500),
    lease_until = null,
    queued_at = now(),
    attempts = case when coalesce(p_counts, true) then attempts else greatest(attempts - 1, 0) end
  where id = p_id and finished_at is null
  returning status into now_at;
  if not found then
    select status into now_at from public.jobs where id = p_id;
    if not found then
      raise sqlstate 'PT404' using message = 'no such job';
    end if;
  end if;
  return jsonb_build_object('status', now_at);
end;
$$;

comment on function public.release_job(uuid, text, boolean) is
  'Puts an unfinished job back into the queue; with p_counts false the run doesn''t count as an attempt. {status}; 404.';

create function public.reap_jobs(p_limit integer, p_queued_grace_seconds integer) returns jsonb
language plpgsql volatile security definer set search_path = ''
as $$
declare
  reaped jsonb;
begin
  with stranded as (
    select id from public.jobs
    where finished_at is null
      and case
        when status = 'queued'
          then queued_at < now() - make_interval(secs => greatest(coalesce(p_queued_grace_seconds, 60), 0))
        else lease_until is null or lease_until < now()
      end
    order by queued_at
    limit least(greatest(coalesce(p_limit, 100), 0), 1000)
    for update skip locked
  ), put_back as (
    update public.jobs set status = 'queued', lease_until = null, queued_at = now()
    from stranded
    where jobs.id = stranded.id
    returning jobs.id, jobs.kind
  )
  select coalesce(jsonb_agg(jsonb_build_object('id', id, 'kind', kind)), '[]') into reaped from put_back;
  return reaped;
end;
$$;

comment on function public.reap_jobs(integer, integer) is
  'Puts back jobs that were stored but never queued, or whose run went silent: [{id, kind}] to send to the queue. Each is named once per grace.';

revoke execute on function
  public.claim_job(uuid, integer),
  public.report_progress(uuid, text, integer, text, integer),
  public.release_job(uuid, text, boolean),
  public.reap_jobs(integer, integer)
from public, anon, authenticated;
grant execute on function
  public.claim_job(uuid, integer),
  public.report_progress(uuid, text, integer, text, integer),
  public.release_job(uuid, text, boolean),
  public.reap_jobs(integer, integer)
to service_role;
