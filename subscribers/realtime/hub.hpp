// What all sessions share, on the network's thread: topics with their caches, limits, counters, the last snapshot.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bus/base/clock.hpp"
#include "subscribers/realtime/books.hpp"
#include "subscribers/realtime/counters.hpp"
#include "subscribers/realtime/event_source.hpp"
#include "subscribers/realtime/feeder.hpp"
#include "subscribers/realtime/gather.hpp"
#include "subscribers/realtime/net.hpp"
#include "subscribers/realtime/options.hpp"
#include "subscribers/realtime/tail_cache.hpp"

namespace millrace::gateway {

// A connection, HTTP or WebSocket, as the hub sees it.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  virtual ~Connection() = default;
  virtual void tick(MonotonicTime now) = 0;  // looks at its time limits
  virtual void events_arrived() {}           // in a topic that it watches
  virtual void woken() {}                    // at a time that it asked for
  virtual void say_goodbye() = 0;            // the gateway stops: close politely
  virtual void drop() = 0;                   // close now
};

struct Topic {
  Topic(TopicInfo topic, const GatewayOptions& options)
      : info(std::move(topic)), cache(info.next, options.cache_bytes, options.cache_events) {}

  // Recorded events that the gateway has not taken yet, as of the last snapshot.
  [[nodiscard]] std::uint64_t lag() const {
    return info.recorded_end > cache.next() ? info.recorded_end - cache.next() : 0;
  }

  // The first offset that a subscription of that level is not shown from memory yet.
  [[nodiscard]] Offset head(Level level) const {
    return level == Level::synced ? std::min(info.synced_end, cache.next()) : cache.next();
  }
  [[nodiscard]] std::vector<Connection*>& watchers_of(Level level) { return watchers[static_cast<std::size_t>(level)]; }
  [[nodiscard]] std::size_t subscriptions() const { return watchers[0].size() + watchers[1].size(); }

  TopicInfo info;
  RunBegin run;  // that the events in the cache are of, at the latest
  std::vector<PublisherInfo> publishers;
  TailCache cache;
  std::array<std::vector<Connection*>, 2> watchers;  // by level, once for each subscription
  std::array<Offset, 2> shown;                       // by level: the head that watchers were told of last
  // Messages gathered lately, by encoding: sessions at the same place send the same one.
  std::array<std::array<std::shared_ptr<const Body>, 4>, 2> bodies;
  std::array<std::size_t, 2> oldest_body{};
};

class Hub {
 public:
  Hub(asio::io_context& io, EventSource& source, const GatewayOptions& options, const Clock& clock, Snapshot snapshot);

  void update(Feeder::Update&& update);
  void tick();

  [[nodiscard]] Topic* find(std::string_view name);
  [[nodiscard]] std::size_t index_of(const Topic& topic) const {
    return static_cast<std::size_t>(&topic - topics.data());
  }
  // The events from `cursor`, which the cache reaches, to the head or the size limit; shared where nothing is left out.
  [[nodiscard]] std::shared_ptr<const Body> gather_live(Topic& topic, Offset cursor, const View& view) {
    return gather_live(topic, cursor, view, {.bytes = options.message_size_max});
  }
  // Likewise to a limit of its own, or its `end`.
  [[nodiscard]] std::shared_ptr<const Body> gather_live(Topic& topic, Offset cursor, const View& view, Limit limit);
  // Wakes it at that time, or a little later.
  void wake_at(MonotonicTime when, const std::shared_ptr<Connection>& connection);
  // No more of that.
  void stop_waking();
  // Wakes who waits for what update() brought.
  void tell_watchers();
  // Held while a chunk of the log is read and until its message has been written; null if too many are.
  [[nodiscard]] std::shared_ptr<void> take_replay_slot();
  // Enters what became of a subscription's events in the gateway's books.
  void enter(protocol::SlowPolicy::Kind kind, const Books& entries) {
    books[static_cast<std::size_t>(kind)] += entries;
  }
  // As /health shows it.
  [[nodiscard]] Health health() const;
  // Since the feeder last reported.
  [[nodiscard]] std::chrono::nanoseconds feeder_silence() const { return clock.monotonic() - snapshot_taken_; }

  void add(const std::shared_ptr<Connection>& connection) { connections.emplace(connection.get(), connection); }
  void remove(Connection* connection) { connections.erase(connection); }
  // The connections as they are now, for walks that may close some.
  [[nodiscard]] std::vector<std::shared_ptr<Connection>> all() const;

  std::size_t http_streams = 0;  // ranges of events that are being answered
  asio::io_context& io;
  EventSource& source;
  const GatewayOptions& options;
  const Clock& clock;
  Counters counters;
  asio::thread_pool replay_threads;
  asio::thread_pool core_threads{2};  // wait for answers of the core
  std::vector<Topic> topics;
  std::unordered_map<Connection*, std::shared_ptr<Connection>> connections;
  std::array<Books, protocol::slow_names.size()> books;  // of all subscriptions, also ended ones, by kind of policy
  std::size_t sessions = 0;                              // WebSocket connections among them
  bool stopping = false;                                 // no read of the log is begun any more

 private:
  void wake_who_is_due();

  Health source_health_;
  MonotonicTime snapshot_taken_;
  std::atomic<std::size_t> replays_{0};
  std::multimap<MonotonicTime, std::weak_ptr<Connection>> to_wake_;
  asio::steady_timer wake_timer_;  // of the first of them
};

}  // namespace millrace::gateway
