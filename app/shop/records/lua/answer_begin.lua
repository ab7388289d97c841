-- KEYS: the key's record. ARGV: the request's fingerprint, its id, lease (ms), how long it is kept (ms).
-- Returns {'mine'} | {'other'} another request had this key | {'busy', ms left of its lease}
--       | {'done', status, media type, location, body}.
local record, fingerprint, holder, lease, kept = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local found = redis.call(
  'HMGET', record, 'fingerprint', 'holder', 'until', 'status', 'type', 'location', 'body')
local now = now_ms()
if found[1] then
  if found[1] ~= fingerprint then return {'other'} end
  if found[4] then return {'done', found[4], found[5], found[6], found[7]} end
  local left = tonumber(found[3]) - now
  if found[2] ~= holder and left > 0 then return {'busy', left} end
end
redis.call('HSET', record, 'fingerprint', fingerprint, 'holder', holder,
  'until', string.format('%.0f', now + lease))
redis.call('PEXPIRE', record, kept)
return {'mine'}
