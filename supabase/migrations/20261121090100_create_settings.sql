-- Figures an operator changes without a deployment: prices, the welcome grant, retention.

create table public.settings (
  key text primary key check (key ~ '^[a-z][a-z0-9_]{0,62}$'),
  value jsonb not null check (jsonb_typeof(value) = 'object'),
  updated_at timestamptz not null default now()
);

comment on column public.settings.value is
  'Always an object, so that a setting can gain fields without changing type.';

alter table public.settings enable row level security;
revoke all on public.settings from anon, authenticated;
grant select, insert, update, delete on public.settings to authenticated;
grant all on public.settings to service_role;

create policy "admins keep the settings" on public.settings
  for all to authenticated
  using ((select public.is_admin()))
  with check ((select public.is_admin()));

create trigger settings_touch_updated_at
  before update on public.settings
  for each row execute function private.touch_updated_at();

insert into public.settings (key, value) values
  ('prices', '{"scene": 1}'),
  ('credits', '{"welcome": 100}'),
  ('retention', '{"days": 90}');

-- A field of a setting as a whole number of at least zero; anything else an operator may have typed counts as absent.
create function private.read_figure(p_key text, p_field text, p_default integer) returns integer
language sql stable set search_path = ''
as $$
  select coalesce((
    select case
      when jsonb_typeof(value -> p_field) = 'number' and (value ->> p_field)::numeric between 0 and 1000000
      then trunc((value ->> p_field)::numeric)::integer
    end
    from public.settings where key = p_key
  ), p_default);
$$;

revoke execute on function private.read_figure(text, text, integer) from public;
