-- Returns the payload of the event that ends an attempt: that of the outcome, with the time of the next attempt for a
-- retry, or that of a cancel.
create or replace function command.finish_event(p_final text, p_outcome text, p_event text, p_next timestamptz,
                                                p_attempt integer, p_cancel_reason text)
returns text language sql stable
return case
  when p_final = 'cancelled' then jsonb_strip_nulls(jsonb_build_object(
    'attempt', p_attempt, 'reason', p_cancel_reason, 'outcome', nullif(p_outcome, 'cancelled')))::text
  when p_final in ('retrying', 'released') then
    (p_event::jsonb || jsonb_build_object('nextAttemptAt', session.iso_time(p_next)))::text
  else p_event end;
