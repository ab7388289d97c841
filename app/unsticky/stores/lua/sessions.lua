-- KEYS: a user's index. ARGV: session prefix. Returns {name, birth, seen, label, ...} of the living.
local index, prefix = KEYS[1], ARGV[1]
local listed, entries = {}, redis.call('HKEYS', index)
for _, name in ipairs(entries) do
  if string.sub(name, 1, 1) ~= '\0' then
    local found = redis.call('HMGET', prefix .. name, '\0m', '\0s', '\0l')
    if found[1] then
      listed[#listed + 1] = name
      for i = 1, 3 do listed[#listed + 1] = found[i] or '' end
    else
      redis.call('HDEL', index, name)
    end
  end
end
return listed
