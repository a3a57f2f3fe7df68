-- Whether this is the first use of something that may be used once.
-- KEYS: what is used; since when this store knows what was used. ARGV: when it was made, in seconds; for how long it is
-- remembered, in milliseconds.
-- A store that has come back empty does not know what was used before. What was made no later may have been.
local since = redis.call('GET', KEYS[2])
if not since then
  since = redis.call('TIME')[1]
  redis.call('SET', KEYS[2], since)
end
if tonumber(ARGV[1]) <= tonumber(since) then
  return 0
end
if redis.call('SET', KEYS[1], '', 'NX', 'PX', ARGV[2]) then
  return 1
end
return 0
