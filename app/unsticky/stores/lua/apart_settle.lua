-- After a session was bound or moved: enters it for good, removes the entry that it replaces, and chooses the
-- sessions beyond the limit.
--
-- KEYS: a user's index [, key of the choice's result, if there is a limit]. ARGV: how long that is kept
--       (ms), entry, entry that it replaces or '', when it was bound or '' (as it is), most sessions or '',
--       '1' if the others were looked at; then name, value and 'dead', 'past' (its idle limit) or 'lives'
--       of each.
-- Returns {0, entries that this call chose, now or when it came before, each with a comma, then what is to
--       end: entry, '1' if its session may still come, ...} | {11, name, value, ...} if all of these
--       must be looked at first, in this order.
include 'session'
include 'keys'
include 'apart'
local index, entry, before, order, most, looked = KEYS[1], unpack(ARGV, 2, 6)
local now, value = now_ms(), redis.call('HGET', index, entry)
local stands = value and not is_ending(value)
if stands then
  value = order ~= '' and order or order_of(value)
  redis.call('HSET', index, entry, value)
end
if before ~= '' then redis.call('HDEL', index, before) end
if most == '' then return {0, ''} end
local seen = {}
for at = 7, #ARGV, 3 do seen[ARGV[at] .. ARGV[at + 1]] = ARGV[at + 2] end
-- A bind that is sent again, after its session has ended, ends no other one.
if stands and seen[entry .. value] == 'dead' then
  redis.call('HDEL', index, entry)
  stands = false
end

local living, followers, present = {}, {}, {}
local entries, known = redis.call('HGETALL', index), {11, entry, value}
local ending = {0, redis.call('GET', KEYS[2]) or ''}
for i = 1, #entries, 2 do
  local name, state = entries[i], entries[i + 1]
  if not is_entry(name) or name == entry then -- no other session
  elseif is_ending(state) then
    ending[#ending + 1] = name
    ending[#ending + 1] = may_come(state, now) and '1' or ''
  elseif seen[name .. state] == 'dead' and not may_come(state, now) then
    redis.call('HDEL', index, name)
  elseif not may_come(state, now) then
    -- One whose bind stopped halfway counts, too, unless it is known that it does not live.
    living[#living + 1] = {name, seen[name .. state] == 'past' and 0 or tonumber(order_of(state)), state}
    present[name] = true
    known[#known + 1] = name
    known[#known + 1] = state
  elseif followed_by(state) then
    followers[#followers + 1] = {name, tonumber(order_of(state)), state}
  end
end
-- A rotation under way counts once: as the session that it moves, as long as that is there.
for _, each in ipairs(followers) do
  known[#known + 1] = each[1]
  known[#known + 1] = each[3]
  if not present[followed_by(each[3])] then
    local state = seen[each[1] .. each[3]]
    if not state then looked = '' end
    if state ~= 'dead' then living[#living + 1] = each end
  end
end
local beyond = stands and #living - tonumber(most) + 1 or 0
if beyond > 0 and looked == '' then return known end
table.sort(living, function(a, b) return a[2] < b[2] end)
-- An entry stays until its session has ended, so that no other call misses it.
local function choose(name, state)
  redis.call('HSET', index, name, 'e' .. state)
  ending[2] = ending[2] .. name .. ','
  ending[#ending + 1] = name
  ending[#ending + 1] = may_come(state, now) and '1' or ''
end
for i = 1, beyond do
  choose(living[i][1], living[i][3])
  for _, each in ipairs(followers) do
    if followed_by(each[3]) == living[i][1] then choose(each[1], each[3]) end
  end
end
if beyond > 0 then redis.call('SET', KEYS[2], ending[2], 'PX', ARGV[1]) end
return ending
