-- KEYS: session, quarantine. ARGV: field, observed bytes, ms to keep it. Without a field, it moves the
-- session if all of it is unreadable. Returns whether it was moved.
include 'session'
include 'keys'
if ARGV[1] == '' then
  if inspect(KEYS[1], now_ms()) ~= '' then return 0 end
elseif redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then
  return 0
end
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
bury(KEYS[1], 'corrupt')
return 1
