// The roles and grants that a hosted project starts with, before the first migration. lite makes them late and only in part.

const ROLES = 'anon, authenticated, service_role';

export const ROLES_SQL = `
do $$ begin
  if not exists (select from pg_roles where rolname = 'anon') then create role anon nologin; end if;
  if not exists (select from pg_roles where rolname = 'authenticated') then create role authenticated nologin; end if;
  if not exists (select from pg_roles where rolname = 'service_role') then create role service_role nologin bypassrls; end if;
end $$;
grant usage on schema public to ${ROLES};
alter default privileges in schema public grant all on tables to ${ROLES};
alter default privileges in schema public grant all on sequences to ${ROLES};
alter default privileges in schema public grant execute on functions to ${ROLES};
`;

/** After lite has made its own schemas. Without the auth grants \`auth.uid()\` fails for whoever asks in their own name. */
export const SYSTEM_GRANTS_SQL = `
grant usage on schema auth to ${ROLES};
grant execute on all functions in schema auth to ${ROLES};
grant usage on schema storage to ${ROLES};
grant all on all tables in schema storage to ${ROLES};
grant execute on all functions in schema storage to ${ROLES};
`;
