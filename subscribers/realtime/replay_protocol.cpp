#include "subscribers/realtime/replay_protocol.hpp"

#include <algorithm>
#include <cstring>

#include "bus/base/rfc3339.hpp"

namespace millrace::gateway::protocol {

namespace {

void put_offsets(std::string& out, std::string_view name, const std::vector<Offset>& offsets) {
  out += ",\"";
  out += name;
  out += "\":[";
  for (const Offset offset : offsets) {
    if (out.back() != '[') out += ',';
    out += std::to_string(offset.value());
  }
  out += ']';
}

std::string speed_text(historical::Speed speed) {
  if (speed == historical::as_fast_as_possible) return "max";
  std::string out = std::to_string(speed.thousandths / 1'000);
  if (const auto rest = speed.thousandths % 1'000; rest != 0) out += '.' + std::to_string(1'000 + rest).substr(1);
  return out;
}

void put_state(std::string& out, const ReplayState& state) {
  out += R"(,"subscription":)" + std::to_string(state.subscription);
  out += R"(,"topics":[)";
  for (const std::string_view topic : state.topics) {
    if (out.back() != '[') out += ',';
    out += '"' + std::string(topic) + '"';  // of [a-z0-9_.-]: nothing to escape
  }
  out += ']';
  put_offsets(out, "next_offsets", state.next);
  put_offsets(out, "end_offsets", state.end);
  out += R"(,"speed":")" + speed_text(state.speed) + '"';
  out += state.paused ? R"(,"paused":true)" : R"(,"paused":false)";
  out += R"(,"record_time":)";
  if (state.reached) {
    out += '"';
    append_rfc3339(*state.reached, out);
    out += '"';
  } else {
    out += "null";
  }
  out += R"(,"count":)" + std::to_string(state.count);
  if (std::none_of(state.deleted_before.begin(), state.deleted_before.end(), [](const auto& one) { return !!one; })) {
    return;
  }
  out += R"(,"deleted_before":[)";
  for (const std::optional<Offset> before : state.deleted_before) {
    if (out.back() != '[') out += ',';
    out += before ? std::to_string(before->value()) : "null";
  }
  out += ']';
}

}  // namespace

std::string replay_answer(std::string_view type, std::string_view id, const ReplayState& state) {
  std::string out = R"({"type":")" + std::string(type) + R"(","id":)" + std::string(id);
  put_state(out, state);
  return out + '}';
}

std::string replay_heartbeat(const ReplayState& state) {
  std::string out = R"({"type":"heartbeat")";
  put_state(out, state);
  return out + '}';
}

std::string replayed(const ReplayState& state, const std::vector<std::uint32_t>& followed_by) {
  std::string out = R"({"type":"replayed")";
  put_state(out, state);
  if (!followed_by.empty()) {
    out += R"(,"followed_by":[)";
    for (const std::uint32_t one : followed_by) out += (out.back() != '[' ? "," : "") + std::to_string(one);
    out += ']';
  }
  return out + '}';
}

std::string replay_error(const RequestError& wrong, const ReplayState& state) {
  std::string out = error(wrong);
  out.pop_back();
  put_state(out, state);
  return out + '}';
}

std::string replay_prefix(std::uint32_t subscription, std::uint32_t count, const std::vector<Offset>& next) {
  std::string out = R"({"type":"replay_events","subscription":)" + std::to_string(subscription);
  put_offsets(out, "next_offsets", next);
  out += R"(,"count":)" + std::to_string(count) + R"(,"events":[)";
  return out;
}

std::string replay_header(std::uint32_t subscription, std::uint32_t count, const std::vector<Offset>& next,
                          WallTime now) {
  const auto size = static_cast<std::uint16_t>(sizeof(BinaryBatchHeader) + sizeof(std::uint64_t) * next.size());
  const BinaryBatchHeader header{{binary_magic, size, sizeof(BinaryEntry), subscription, count, 0, 0, now.ns},
                                 binary_replay,
                                 static_cast<std::uint32_t>(next.size())};
  std::string out(size, '\0');
  std::memcpy(out.data(), &header, sizeof header);
  for (std::size_t i = 0; i < next.size(); ++i) {
    const std::uint64_t offset = next[i].value();
    std::memcpy(out.data() + sizeof header + i * sizeof offset, &offset, sizeof offset);
  }
  return out;
}

}  // namespace millrace::gateway::protocol
