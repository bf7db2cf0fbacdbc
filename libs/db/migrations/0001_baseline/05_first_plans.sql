-- What the planner believes before the first ANALYZE. It takes an unknown column to have 200 values, so that on a table
-- that is still small "all rows of the tenant" looks like one row, as cheap as the primary key; the plan is then kept
-- while the table grows (measured: 1,700 rows read for two commands, and rising). Told that there is one tenant, it
-- looks rows up by their keys from the first call on. ANALYZE puts what it finds in the place of this.
do $$
declare
  v_table record;
begin
  for v_table in
    select n.nspname::text, c.relname::text
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
    where n.nspname in ('session', 'command') and c.relkind = 'r'
  loop
    perform pg_restore_attribute_stats(
      'schemaname', v_table.nspname, 'relname', v_table.relname, 'attname', 'tenant_id', 'inherited', false,
      'null_frac', 0::real, 'avg_width', 16, 'n_distinct', 1::real);
  end loop;
end
$$;
