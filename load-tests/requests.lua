-- wrk script: sends the lines of a file ("PATH ADDRESS"), one after the other, over and over.
-- wrk -s load-tests/requests.lua URL -- FILE
local requests, sent = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local path, address = line:match("^(%S+) (%S+)$")
    requests[#requests + 1] = wrk.format("GET", path, {
      ["Host"] = wrk.headers["Host"], ["User-Agent"] = "curl/7.88.1", ["Accept"] = "*/*", ["X-Forwarded-For"] = address,
      -- The mirrors have http, to which a request that came by https is never sent.
      ["X-Forwarded-Proto"] = wrk.scheme == "https" and "http" or nil,
    })
  end
end

function request()
  sent = sent + 1
  return requests[sent % #requests + 1]
end
