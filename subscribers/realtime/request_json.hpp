// What the parsers of requests share: request.cpp has it, and request_replay.cpp what replays are asked for.
#pragma once

#include <boost/json.hpp>
#include <initializer_list>

#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway::protocol {

namespace json = boost::json;

using WhatOrError = std::variant<Subscribe, Unsubscribe, AskBooks, Ack, StartReplay, Steer, Ping, RequestError>;
using StartOrError = std::variant<Start, RequestError>;

[[nodiscard]] RequestError bad(ErrorName name, std::string message);
// What was asked for may be shown in an answer, but not all of it.
[[nodiscard]] std::string shown(std::string_view text);
[[nodiscard]] std::optional<std::uint64_t> as_unsigned(const json::value& value);
[[nodiscard]] std::string_view view(const json::string& text);
// An object may only have the fields listed.
[[nodiscard]] std::optional<RequestError> check_fields(const json::object& object,
                                                       std::initializer_list<std::string_view> allowed, ErrorName name,
                                                       std::string_view where);
[[nodiscard]] StartOrError parse_start(const json::value& value);
[[nodiscard]] std::variant<Filter, RequestError> parse_filter(const json::value& value);
// Of the field of that name, which may be left out.
[[nodiscard]] std::optional<RequestError> parse_format(const json::object& object, Encoding& into);
[[nodiscard]] std::optional<RequestError> parse_level(const json::object& object, Level& into);

[[nodiscard]] WhatOrError parse_replay(const json::object& object);
// Of the op named `op`, which is about a replay.
[[nodiscard]] WhatOrError parse_steer(const json::object& object, Steer::What what, std::string_view op);

}  // namespace millrace::gateway::protocol
