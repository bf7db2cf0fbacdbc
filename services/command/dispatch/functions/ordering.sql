-- An ordering key of a session. Its commands run one at a time, in the order of their submits.
create type command.ordering as (session_uid uuid, ordering_key text);
