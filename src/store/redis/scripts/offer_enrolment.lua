local hash, enrolment, now = unpack(ARGV, 2)
local key = P .. ':p:' .. hash
if not pending(hash, now) then
  guard(key)
  return false
end
redis.call('HSETNX', key, 'enrolment', enrolment)
return redis.call('HGET', key, 'enrolment')
