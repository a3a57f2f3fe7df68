-- Whether this is the first use of something that may be used once.
-- KEYS: what is used; since when this store knows what was used. ARGV: when it was made, in seconds; until when it is
-- remembered, in seconds; for how long that is by the clock of whoever asks, in milliseconds.
-- A store that has come back empty does not know what was used before. What was made no later may have been.
local now = tonumber(redis.call('TIME')[1])
local since = redis.call('GET', KEYS[2])
if not since then
  since = now
  redis.call('SET', KEYS[2], since)
end
if tonumber(ARGV[1]) <= tonumber(since) then
  return 0
end
-- By this clock, which is the one clock of all replicas, it is forgotten already: theirs was set back.
local left = tonumber(ARGV[2]) - now
if left <= 0 then
  return 0
end
if redis.call('SET', KEYS[1], '', 'NX', 'PX', math.max(tonumber(ARGV[3]), left * 1000)) then
  return 1
end
return 0
