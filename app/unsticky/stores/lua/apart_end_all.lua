-- In a cluster, what `end_all.lua` does in the slot of the user's index: from here on no session of these
-- gets another reference, and what is on its way is among them.
--
-- KEYS: a user's index. ARGV: entry to keep or '', stamp or '', absolute (0: none).
-- Returns {entry to end, '1' if its session may still come, ...}.
include 'session'
include 'keys'
include 'apart'
local index, keep, stamp = KEYS[1], ARGV[1], ARGV[2]
local now, absolute = now_ms(), tonumber(ARGV[3])
if stamp ~= '' then
  local had = redis.call('PTTL', index)
  local least = redis.call('HGET', index, '\0v')
  if not least or is_below(least, stamp) then redis.call('HSET', index, '\0v', stamp) end
  keep_index(index, had, absolute > 0 and now + absolute or 0, now)
end
-- After this write, which a full server takes, it takes the marks, too. Without them a rotation that it permits
-- a moment later would be missed.
redis.call('HDEL', index, '')
local ending, entries = {}, redis.call('HGETALL', index)
for i = 1, #entries, 2 do
  local name, value = entries[i], entries[i + 1]
  if is_entry(name) and name ~= keep then
    if not is_ending(value) then redis.call('HSET', index, name, 'e' .. value) end
    ending[#ending + 1] = name
    ending[#ending + 1] = may_come(value, now) and '1' or ''
  end
end
return ending
