#!/bin/bash
# An app: records the request, answers, and closes.
seen=
while IFS= read -r line && [ "${line%$'\r'}" != "" ]; do
    seen+="${line%$'\r'}"$'\n'
done
[ -n "$seen" ] || exit 0
printf '%s\n' "$seen" >>/root/seen
body="the app"
printf 'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "${#body}" "$body"
