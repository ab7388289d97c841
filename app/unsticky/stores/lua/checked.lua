-- Checks `changes` against `current`, the stored values in the order of `names` (none if `creating`).
-- Returns the reason if nothing may be changed; otherwise goes on with `sets`, `deletes` and `results`.
local COUNTER_LIMIT = 999999999999999
for first = CHUNK + 1, creating and 0 or #names, CHUNK do
  local more = redis.call('HMGET', key, unpack(names, first, math.min(first + CHUNK - 1, #names)))
  for i = 1, #more do current[first + i - 1] = more[i] end
end
local everything
local function all_fields()
  if not everything then everything = creating and {} or redis.call('HGETALL', key) end
  return everything
end
-- Reserved fields have no prefix.
local function starts(text, prefix)
  return string.sub(text, 1, #prefix) == prefix and string.byte(text) ~= 0
end

local conflicts, sets, deletes, results = {3}, {}, {}, {}
local grown, added = 0, 0
for _, change in ipairs(changes) do
  local kind, place = change.kind, change.place
  local field = ARGV[place]
  local have = change.name and current[change.name] or false
  local expected
  if kind == 's' then expected = ARGV[place + 2]
  elseif kind == 'd' or kind == 'C' then expected = ARGV[place + 1]
  elseif kind == 'n' or kind == 'X' then expected = false end
  if expected ~= nil and have ~= expected then
    conflicts[#conflicts + 1] = field
    conflicts[#conflicts + 1] = have
  end
  local value
  if kind == 'S' or kind == 's' or kind == 'n' then
    value = ARGV[place + 1]
    grown = grown + #value - (have and #have or 0)
  elseif kind == 'D' or kind == 'd' then
    if have then
      deletes[#deletes + 1] = field
      added = added - 1
      grown = grown - #field - #have
    end
  elseif kind == 'A' then
    local number = 0
    if have then
      if not string.match(have, '^-?%d+$') then return {7, field} end
      number = tonumber(have)
    end
    local result = number + tonumber(ARGV[place + 1])
    local minimum, maximum = tonumber(ARGV[place + 2]), tonumber(ARGV[place + 3])
    if (minimum and result < minimum) or (maximum and result > maximum)
        or math.abs(number) > COUNTER_LIMIT or math.abs(result) > COUNTER_LIMIT then
      return {4, field, have or '0'}
    end
    value = string.format('%.0f', result)
    if value == '-0' then value = '0' end
    grown = grown + #value - (have and #have or 0)
    results[#results + 1] = value
  elseif kind == 'T' then
    local taken, fields, into = {}, all_fields(), ARGV[place + 1]
    local there = {}
    if into ~= '' then
      for i = 1, #fields, 2 do there[fields[i]] = fields[i + 1] end
    end
    for i = 1, #fields, 2 do
      local name, content = fields[i], fields[i + 1]
      if starts(name, field) then
        taken[#taken + 1] = name
        taken[#taken + 1] = content
        deletes[#deletes + 1] = name
        added = added - 1
        grown = grown - #name - #content
        if into ~= '' then
          local target = into .. string.sub(name, #field + 1)
          sets[#sets + 1] = target
          sets[#sets + 1] = content
          local replaced = there[target]
          added = added + (replaced and 0 or 1)
          grown = grown + #content + (replaced and -#replaced or #target)
        end
      end
    end
    results[#results + 1] = taken
  elseif kind == 'N' then
    local fields, missing, wanted, same = all_fields(), 0, {}, true
    for i = place + 2, place + 1 + tonumber(ARGV[place + 1]) do
      if not wanted[ARGV[i]] then
        wanted[ARGV[i]] = true
        missing = missing + 1
      end
    end
    for i = 1, #fields, 2 do
      if starts(fields[i], field) then
        same = same and wanted[fields[i]]
        missing = missing - 1
      end
    end
    if not same or missing ~= 0 then
      conflicts[#conflicts + 1] = field
      conflicts[#conflicts + 1] = false
    end
  end
  if value then
    sets[#sets + 1] = field
    sets[#sets + 1] = value
    if not have then
      added = added + 1
      grown = grown + #field
    end
  end
end
if #conflicts > 1 then return conflicts end
if added > 0 then
  local count, most = added + (creating and 0 or redis.call('HLEN', key)), tonumber(ARGV[2])
  if count > most then
    -- Only near the cap: the library's own fields do not count.
    local reserved = {'\0m', '\0s', '\0i', '\0u', '\0n', '\0l'}
    for _, held in ipairs(creating and {} or redis.call('HMGET', key, unpack(reserved))) do
      if held then count = count - 1 end
    end
    if count > most then return {5, 'fields', count, most} end
  end
end
if grown > 0 then
  local size, fields = grown, all_fields()
  for i = 1, #fields, 2 do
    if string.byte(fields[i]) ~= 0 then size = size + #fields[i] + #fields[i + 1] end
  end
  if size > tonumber(ARGV[3]) then return {5, 'bytes', size, tonumber(ARGV[3])} end
end
