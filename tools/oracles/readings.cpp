#include "tools/oracles/readings.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

#include "bus/base/idle.hpp"
#include "publishers/market/translate.hpp"
#include "subscribers/realtime/client/ws_client.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::oracles {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;
// Of a binary message of the gateway, see subscribers/realtime/PROTOCOL.md.
constexpr std::size_t message_header_size_at = 4;
constexpr std::size_t entry_header_size_at = 6;
constexpr std::size_t entry_frame_size_at = 28;

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
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
  hash = XXH3_64bits_withSeed(frame.bytes().data(), frame.header().length, hash ^ offset.value());
}

Reading::Reading(Via via, const Source& source, std::unique_ptr<market::OracleCheck> check)
    : via_(via), source_(source), check_(std::move(check)), next_(source.from) {
  for (auto& end : ends_) end.store(UINT64_MAX, std::memory_order_relaxed);
}

Reading::~Reading() {
  // Whoever gives up early waits for no more events.
  for (auto& end : ends_) end.store(0, std::memory_order_release);
  if (thread_.joinable()) thread_.join();
}

void Reading::start() {
  thread_ = std::thread([this] { status_ = read(); });
}

Result<Reading::Outcome> Reading::finish(const Offsets& ends) {
  for (std::size_t i = 0; i < ends.size(); ++i) ends_[i].store(ends[i].value(), std::memory_order_release);
  if (thread_.joinable()) {
    thread_.join();
  } else {
    status_ = read();
  }
  if (!status_) return fail(status_.error().code, to_string(via_) + ": " + status_.error().message);
  return Outcome{check_->results(), digests_};
}

Status Reading::read() {
  for (std::size_t i = 0; i < market_topics.size(); ++i) {
    const auto topic = source_.bus.topic(market_topics[i]);
    if (!topic) return fail(topic.error());
    types_[i] = topic->type;
  }
  last_event_ = system_clock().monotonic();
  if (done()) return {};
  switch (via_) {
    case Via::follower:
      return read_follower();
    case Via::websocket:
      return read_websocket();
    case Via::log:
      return read_log();
  }
  return {};
}

bool Reading::going() {
  if (!status_ || done()) return false;
  const MonotonicTime now = system_clock().monotonic();
  if (taken_ != taken_before_) {
    taken_before_ = taken_;
    last_event_ = now;
  } else if (now - last_event_ > patience) {
    status_ = fail(ErrorCode::timed_out, "nothing more came from offset " + std::to_string(next_[0].value()) + " of " +
                                             market_topics[0] + " and " + std::to_string(next_[1].value()) + " of " +
                                             market_topics[1]);
  }
  return status_.has_value();
}

void Reading::take(std::size_t topic, Offset offset, const FrameView& frame) {
  if (!status_ || done(topic)) return;
  const std::string where = "offset " + std::to_string(offset.value()) + " of " + market_topics[topic];
  if (offset != next_[topic]) {
    status_ = fail(ErrorCode::corrupt, where + " came where " + std::to_string(next_[topic].value()) + " was due");
  } else if (!types_[topic]->verify(frame.payload())) {
    status_ = fail(ErrorCode::corrupt, where + " fails its verifier");
  } else {
    ++next_[topic];
    ++taken_;
    digests_[topic].add(offset, frame);
    deliver(frame);
  }
}

void Reading::deliver(const FrameView& frame) {
  const auto& causes = source_.causes;
  if (causes && (!frame.cause() || *frame.cause() < causes->from || *frame.cause() >= causes->end)) return;
  if (frame.event_type() == schemas::Family<schemas::TradeEvent>::id) {
    check_->on_trade(market::read(*flatbuffers::GetRoot<schemas::TradeEvent>(frame.payload().data())));
    return;
  }
  market::BookView view = market::read(*flatbuffers::GetRoot<schemas::MarketL2>(frame.payload().data()));
  if (causes) view.valid_at = *frame.cause() - causes->from;
  check_->on_book(view);
}

Status Reading::read_follower() {
  std::vector<Subscriber> subscribers;
  for (std::size_t i = 0; i < market_topics.size(); ++i) {
    auto subscriber =
        source_.bus.subscribe(market_topics[i], {.level = Level::recorded, .start = next_[i], .on_gap = {}});
    if (!subscriber) return fail(subscriber.error());
    subscribers.push_back(std::move(*subscriber));
  }
  BackOffIdle idle;
  do {
    std::size_t work = 0;
    for (std::size_t i = 0; i < subscribers.size(); ++i) {
      work += subscribers[i].poll([&](const Event& event) { take(i, *event.offset, event.frame); });
      if (const auto& error = subscribers[i].follower()->error()) return fail(*error);
    }
    idle.idle(work);
  } while (going());
  return status_;
}

Status Reading::read_websocket() {
  gateway::client::WsClient client(source_.gateway_port);
  if (!client.connected()) return fail(ErrorCode::disconnected, "the gateway does not answer");
  for (std::size_t i = 0; i < market_topics.size(); ++i) {
    client.send(R"({"op":"subscribe","topic":")" + std::string(market_topics[i]) + R"(","start":{"offset":)" +
                std::to_string(next_[i].value()) + R"(},"format":"binary"})");
  }
  std::vector<std::uint64_t> aligned;
  do {
    // At least a heartbeat comes each second.
    const auto message = client.receive();
    if (!message) return fail(ErrorCode::disconnected, "the gateway closed: " + client.close_reason());
    if (!client.last_was_binary()) {
      if (message->find(R"("type":"error")") != std::string::npos) return fail(ErrorCode::invalid_argument, *message);
      continue;
    }
    aligned.resize((message->size() + 7) / 8);
    std::memcpy(aligned.data(), message->data(), message->size());
    const auto* const bytes = reinterpret_cast<const std::byte*>(aligned.data());
    const std::size_t entry_header = load<std::uint16_t>(bytes + entry_header_size_at);
    for (std::size_t at = load<std::uint16_t>(bytes + message_header_size_at); at < message->size();) {
      if (at + entry_header > message->size()) return fail(ErrorCode::corrupt, "a message ends within a header");
      const Offset offset(load<std::uint64_t>(bytes + at));
      const std::size_t size = load<std::uint32_t>(bytes + at + entry_frame_size_at);
      at += entry_header;
      if (size > message->size() - at) return fail(ErrorCode::corrupt, "a message ends within a frame");
      const auto frame = FrameCursor({bytes + at, size}).next();
      if (!frame) return fail(ErrorCode::corrupt, "a message holds a malformed frame");
      take(frame->event_type() == schemas::Family<schemas::TradeEvent>::id ? 0 : 1, offset, *frame);
      at += size;
    }
  } while (going());
  return status_;
}

Status Reading::read_log() {
  for (std::size_t i = 0; i < market_topics.size(); ++i) {
    auto log = wal::Reader::open(wal::posix_file_system(), source_.bus.topic(market_topics[i])->log_folder);
    if (!log) return fail(log.error());
    const Offset from = next_[i];
    MILLRACE_TRY(log->seek(from));
    const Offset end(ends_[i].load(std::memory_order_acquire));
    while (status_ && !done(i)) {
      const auto batch = log->next(end);
      if (!batch) return fail(batch.error());
      if (!*batch) {
        return fail(ErrorCode::not_found, std::string(market_topics[i]) + " ends at offset " +
                                              std::to_string(next_[i].value()) + " of " + std::to_string(end.value()));
      }
      wal::EventCursor cursor(**batch, from);
      while (const auto event = cursor.next()) take(i, event->offset, event->frame);
    }
  }
  return status_;
}

Result<Offset> recorded_end(Bus& bus, const std::string& topic) {
  const auto report = bus.status();
  if (!report) return fail(report.error());
  for (const auto& status : report->topics) {
    if (status->name == topic) return Offset(status->recorded_end);
  }
  return fail(ErrorCode::not_found, "the core has no topic '" + topic + "'; add it to its configuration");
}

Result<Offsets> recorded_ends(Bus& bus) {
  Offsets ends;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    const auto end = recorded_end(bus, market_topics[i]);
    if (!end) return fail(end.error());
    ends[i] = *end;
  }
  return ends;
}

Result<Offset> first_caused_by(Bus& bus, const std::string& topic, Offset from, Offset cause) {
  auto subscriber = bus.subscribe(topic, {.level = Level::recorded, .start = from, .on_gap = {}});
  if (!subscriber) return fail(subscriber.error());
  BackOffIdle idle;
  std::optional<Offset> found;
  MonotonicTime last_event = system_clock().monotonic();
  while (!found) {
    const std::size_t work = subscriber->poll([&](const Event& event) {
      if (!found && event.frame.cause() && *event.frame.cause() >= cause) found = event.offset;
    });
    idle.idle(work);
    const MonotonicTime now = system_clock().monotonic();
    if (work > 0) last_event = now;
    if (now - last_event > patience) {
      return fail(ErrorCode::timed_out, "nothing came on " + topic + " for the input at offset " +
                                            std::to_string(cause.value()) + "; does millrace-matching run?");
    }
  }
  return *found;
}

}  // namespace millrace::oracles
