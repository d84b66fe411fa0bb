local hash, enrolment, now = unpack(ARGV, 2)
if not pending(hash, now) then
  return false
end
local key = P .. ':p:' .. hash
redis.call('HSETNX', key, 'enrolment', enrolment)
return redis.call('HGET', key, 'enrolment')
