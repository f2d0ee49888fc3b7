#include "tools/oracles/readings.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>
#include <vector>

#include "bus/base/idle.hpp"
#include "publishers/market/translate.hpp"
#include "subscribers/realtime/testing/ws_client.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::oracles {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;
constexpr std::size_t message_header = 40;
constexpr std::size_t entry_header = 32;

// Checks that offsets follow and payloads are sound, then hands over.
class Gate {
 public:
  Gate(Bus& bus, const Span& span, const OnFrame& on_frame)
      : type_(bus.topic(span.topic)->type), next_(span.from), end_(span.end), on_frame_(on_frame) {}

  [[nodiscard]] bool done() const { return next_ >= end_; }
  void take(Offset offset, const FrameView& frame) {
    if (done() || !problem_.empty()) return;
    if (offset != next_) {
      problem_ = "expected offset " + std::to_string(next_.value()) + ", found " + std::to_string(offset.value());
    } else if (!type_->verify(frame.payload())) {
      problem_ = "the event at offset " + std::to_string(offset.value()) + " fails its verifier";
    } else {
      ++next_;
      on_frame_(offset, frame);
    }
  }
  [[nodiscard]] Status status() const {
    if (!problem_.empty()) return fail(ErrorCode::corrupt, problem_);
    if (!done()) return fail(ErrorCode::timed_out, "nothing more came from offset " + std::to_string(next_.value()));
    return {};
  }
  [[nodiscard]] bool going() const { return problem_.empty() && !done(); }

 private:
  const schemas::EventType* type_;
  Offset next_;
  Offset end_;
  const OnFrame& on_frame_;
  std::string problem_;
};

Status read_follower(Bus& bus, const Span& span, Gate& gate) {
  auto subscriber = bus.subscribe(span.topic, {.level = Level::recorded, .start = span.from, .on_gap = {}});
  if (!subscriber) return fail(subscriber.error());
  BackOffIdle idle;
  const MonotonicTime give_up = system_clock().monotonic() + patience;
  while (gate.going() && system_clock().monotonic() < give_up) {
    idle.idle(subscriber->poll([&](const Event& event) { gate.take(*event.offset, event.frame); }));
  }
  return gate.status();
}

Status read_websocket(std::uint16_t port, const Span& span, Gate& gate) {
  gateway::testing::WsClient client(port);
  if (!client.connected()) return fail(ErrorCode::disconnected, "the gateway does not answer");
  client.send(R"({"op":"subscribe","id":1,"topic":")" + span.topic + R"(","start":{"offset":)" +
              std::to_string(span.from.value()) + R"(},"format":"binary"})");
  while (gate.going()) {
    const auto message = client.receive();
    if (!message) return fail(ErrorCode::disconnected, "the gateway closed: " + client.close_reason());
    if (!client.last_was_binary()) {
      if (message->find(R"("type":"error")") != std::string::npos) return fail(ErrorCode::invalid_argument, *message);
      continue;
    }
    std::vector<std::uint64_t> aligned((message->size() + 7) / 8);
    std::memcpy(aligned.data(), message->data(), message->size());
    const auto* bytes = reinterpret_cast<const std::byte*>(aligned.data());
    for (std::size_t at = message_header; at + entry_header <= message->size();) {
      std::uint64_t offset = 0;
      std::uint32_t size = 0;
      std::memcpy(&offset, bytes + at, sizeof offset);
      std::memcpy(&size, bytes + at + 28, sizeof size);
      if (at + entry_header + size > message->size()) return fail(ErrorCode::corrupt, "half a frame in a message");
      gate.take(Offset(offset), FrameView(bytes + at + entry_header));
      at += entry_header + size;
    }
  }
  return gate.status();
}

Status read_log(Bus& bus, const Span& span, Gate& gate) {
  auto log = wal::Reader::open(wal::posix_file_system(), bus.topic(span.topic)->log_folder);
  if (!log) return fail(log.error());
  MILLRACE_TRY(log->seek(span.from));
  while (gate.going()) {
    const auto batch = log->next(span.end);
    if (!batch) return fail(batch.error());
    if (!*batch) break;
    wal::EventCursor cursor(**batch, span.from);
    while (const auto event = cursor.next()) gate.take(event->offset, event->frame);
  }
  return gate.status();
}

}  // namespace

std::string to_string(Via via) {
  switch (via) {
    case Via::follower:
      return "follower";
    case Via::websocket:
      return "websocket";
    case Via::log:
      return "log";
  }
  return "unknown";
}

void Digest::add(Offset offset, const FrameView& frame) {
  ++count;
  hash = XXH3_64bits_withSeed(frame.payload().data(), frame.payload().size(), hash ^ offset.value());
}

Status read_span(Bus& bus, std::uint16_t gateway_port, Via via, const Span& span, const OnFrame& on_frame) {
  Gate gate(bus, span, on_frame);
  if (gate.done()) return {};
  switch (via) {
    case Via::follower:
      return read_follower(bus, span, gate);
    case Via::websocket:
      return read_websocket(gateway_port, span, gate);
    case Via::log:
      return read_log(bus, span, gate);
  }
  return {};
}

void deliver(const FrameView& frame, market::OracleCheck& check, std::optional<Offset> base) {
  if (frame.event_type() == schemas::Family<schemas::TradeEvent>::id) {
    check.on_trade(market::read(*flatbuffers::GetRoot<schemas::TradeEvent>(frame.payload().data())));
    return;
  }
  market::BookView view = market::read(*flatbuffers::GetRoot<schemas::MarketL2>(frame.payload().data()));
  if (base) {
    if (!frame.cause() || *frame.cause() < *base) return;  // before the day's first command
    view.valid_at = *frame.cause() - *base;
  }
  check.on_book(view);
}

std::optional<Offset> recorded_end(Bus& bus, const std::string& topic) {
  const auto report = bus.status();
  if (!report) return std::nullopt;
  for (const auto& status : report->topics) {
    if (status->name == topic) return Offset(status->recorded_end);
  }
  return std::nullopt;
}

Status wait_for_cause(Bus& bus, const Span& orders, const Span& books, Offset cause) {
  auto events = bus.subscribe(orders.topic, {.level = Level::recorded, .start = orders.from, .on_gap = {}});
  if (!events) return fail(events.error());
  auto depth = bus.subscribe(books.topic, {.level = Level::recorded, .start = books.from, .on_gap = {}});
  if (!depth) return fail(depth.error());
  BackOffIdle idle;
  bool seen = false;
  const auto look = [&](const Event& event) { seen = seen || (event.frame.cause() && *event.frame.cause() >= cause); };
  const MonotonicTime give_up = system_clock().monotonic() + patience;
  while (!seen) {
    idle.idle(events->poll(look) + depth->poll(look));
    if (system_clock().monotonic() > give_up) {
      return fail(ErrorCode::timed_out, "the matching process published nothing for the last order of the day");
    }
  }
  // What the last command led to is published in order, and read once two looks at the log find no more.
  for (auto end = recorded_end(bus, books.topic);;) {
    for (int i = 0; i < 200; ++i) idle.idle(0);
    const auto now = recorded_end(bus, books.topic);
    if (now == end) return {};
    end = now;
  }
}

}  // namespace millrace::oracles
