-- The login of Grafana: it may read only what the dashboards show. Safe to run again; resets the password.
\getenv password GRAFANA_DB_PASSWORD
SELECT 'CREATE ROLE grafana LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') \gexec
ALTER ROLE grafana PASSWORD :'password';
ALTER ROLE grafana SET statement_timeout = '10s';
GRANT SELECT ON vens, ven_status, events, event_overview, event_vens, commands, network_stats, network_buckets, energy_days TO grafana;
