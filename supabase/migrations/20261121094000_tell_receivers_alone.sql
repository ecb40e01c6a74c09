-- An order for images notes whether anybody is told of its steps (has_receiver; an order of an earlier release notes nothing
-- and counts as told). Where nobody is, no step leaves an entry in the outbox that could only be given up. What was noted last
-- is then known by the generation's own status, for either kind.

create function private.step_of_image(p_status text) returns integer
language sql immutable set search_path = ''
as $$
  select case p_status
    when 'queued' then 0 when 'initializing' then 1 when 'generating' then 2 when 'saving' then 3 else 4
  end;
$$;

-- Once per event, however often a job is run; whoever calls this holds the job's row.
create or replace function private.tell_of_image(p_job public.jobs, p_event text, p_facts jsonb) returns void
language plpgsql volatile set search_path = ''
as $$
declare
  facts jsonb := jsonb_build_object(
    'job_id', p_job.input ->> 'generation_id', 'event', p_event, 'at', private.event_time()
  ) || p_facts;
begin
  update public.image_generations set
    status = p_event,
    last_event = facts,
    error_message = facts -> 'error' ->> 'detail'
  where job_id = p_job.id and private.step_of_image(status) < private.step_of_image(p_event);
  if not found or p_job.input -> 'has_receiver' = 'false' then
    return;
  end if;
  insert into public.outbox (job_id, topic, event, payload) values (p_job.id, 'webhook', 'image.' || p_event, facts);
end;
$$;

comment on column public.image_generations.status is
  'The step noted last. A cancelled one is told as failed: receivers know no other end.';
comment on column public.image_generations.last_event is
  'What the last webhook says, or would say if anybody were told, before it is put into words.';

revoke execute on function private.step_of_image(text) from public;
