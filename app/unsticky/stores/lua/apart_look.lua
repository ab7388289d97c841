-- KEYS: session. ARGV: user, idle. Returns {birth, seen, own limits, label, '1' if it is past the idle limit}
-- of a living session of that user, otherwise {}.
include 'session'
local key, user, now = KEYS[1], ARGV[1], now_ms()
local asked = redis.pcall('HDEL', key, '') -- refused by a server that is no longer the primary
if type(asked) == 'table' then return wrong_type(asked) and {} or asked end
local birth, seen, own = inspect(key, now)
local held = birth and birth ~= '' and redis.call('HMGET', key, '\0u', '\0l')
if not held or held[1] ~= user then return {} end
local past = string.sub(birth, 1, 1) == VERSION and ARGV[2] ~= '0'
  and is_past(birth, seen, own, now, tonumber(ARGV[2]))
return {birth, seen or '', own or '', held[2] or '', past and '1' or ''}
