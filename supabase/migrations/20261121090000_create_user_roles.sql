-- Who may do more than a signed-in person. Roles live in a table of their own because a person can
-- write their `user_metadata`, and because a row here holds at once, without a new token.

-- Functions that only other functions use; the API never exposes this schema.
create schema private;
revoke all on schema private from public, anon, authenticated;

create table public.user_roles (
  user_id uuid not null,
  role text not null check (role in ('admin', 'tuteur')),
  primary key (user_id, role)
);

comment on table public.user_roles is
  'Rights beyond those of a signed-in person. user_id has no foreign key here or elsewhere: people of other token issuers have no row in auth.users.';

alter table public.user_roles enable row level security;
revoke all on public.user_roles from anon, authenticated;
grant select on public.user_roles to authenticated;
grant all on public.user_roles to service_role;

create policy "people read their own roles" on public.user_roles
  for select to authenticated
  using (user_id = (select auth.uid()));

-- `security definer` so that policies may ask it without granting anybody the whole table.
create function public.is_admin() returns boolean
language sql stable security definer set search_path = ''
as $$
  select coalesce(auth.jwt() -> 'app_metadata' ->> 'role' = 'admin', false)
    or exists (
      select 1 from public.user_roles
      where user_id = auth.uid() and role = 'admin'
    );
$$;

comment on function public.is_admin() is
  'Whether the caller''s token or a row of user_roles makes them an admin.';

revoke execute on function public.is_admin() from public, anon;
grant execute on function public.is_admin() to authenticated, service_role;

-- The secret key, as opposed to a person's token.
create function private.is_service() returns boolean
language sql stable set search_path = ''
as $$
  select coalesce(auth.jwt() ->> 'role' = 'service_role', false);
$$;

create function private.touch_updated_at() returns trigger
language plpgsql set search_path = ''
as $$
begin
  new.updated_at := now();
  return new;
end;
$$;

revoke execute on all functions in schema private from public;
