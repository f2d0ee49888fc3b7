// One WebSocket client. It holds no queue of events: each subscription is a cursor, and when the socket can take more,
// everything between a cursor and the head goes into one message. The network's thread only.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "subscribers/realtime/hub.hpp"
#include "subscribers/realtime/net.hpp"
#include "subscribers/realtime/paced_replay.hpp"
#include "subscribers/realtime/protocol.hpp"
#include "subscribers/realtime/subscription.hpp"

namespace millrace::gateway {

// Of a subscription under `disconnect` that was behind its bound.
inline constexpr auto too_slow_code = static_cast<websocket::close_code>(4001);

class Session final : public Connection {
 public:
  // The caller has checked that there is room for one more session.
  Session(Hub& hub, Socket socket);
  ~Session() override;

  void accept(const http::request<http::string_body>& upgrade);

  void tick(MonotonicTime now) override;
  void events_arrived() override { pump(); }
  void woken() override { pump(); }
  void say_goodbye() override { close(websocket::close_code::going_away, "the gateway stops"); }
  void drop() override { end(); }

  // While a thread is `reading` for it, `paced` and `opening` are that thread's.
  struct SessionReplay {
    std::uint32_t id = 0;
    std::unique_ptr<PacedReplay> paced;
    protocol::Encoding encoding = protocol::Encoding::json;
    Level level = Level::recorded;
    bool follow = false;
    protocol::Filter filter;
    std::optional<ReplayStart> opening;  // it is to go there
    std::string request_id;              // of who asked for that
    bool begun = false;                  // its client knows its number
    bool reading = false;
    std::optional<PacedReplay::Chunk> ready;
    std::optional<MonotonicTime> due;  // of its next event, if that is not yet
    std::deque<std::pair<std::string, protocol::Steer>> waiting;
    MonotonicTime last_sent;

    // Events that are read, and are to be sent before anything is done that was asked since.
    [[nodiscard]] bool has_unsent() const { return ready && ready->body->count > 0; }
  };

 private:
  enum class State { opening, open, closing, ended };

  void read();
  void on_read(beast::error_code failed);
  void answer(std::string message);
  void refuse(const protocol::RequestError& error);
  void subscribe(const std::string& request_id, protocol::Subscribe request);
  // Asks the core for a durable consumer's name.
  void claim(Subscription& subscription, HoldRequest request);
  void on_claimed(std::uint32_t id, Result<std::unique_ptr<HeldName>> name);
  void acknowledge(const std::string& request_id, const protocol::Ack& ack);
  [[nodiscard]] bool end_if_name_lost(Subscription& subscription);
  // Where memory goes back so far, else from the log, which may not have it any more.
  void begin_at(Subscription& subscription, Offset offset, const ReplayStart& start);
  void unsubscribe(const std::string& request_id, std::uint32_t id);
  void show_books(const std::string& request_id, std::uint32_t id);
  // Answers once it is known where the subscription begins.
  void confirm(Subscription& subscription);
  // It ends with an error, before it is confirmed or after.
  void end_with(Subscription& subscription, protocol::RequestError error);
  [[nodiscard]] Subscription* find(std::uint32_t id);
  // For a request about it; refused if there is none.
  [[nodiscard]] Subscription* find_confirmed(const std::string& request_id, std::uint32_t id);
  [[nodiscard]] static protocol::Account account_of(const Subscription& subscription);
  // The first offset that it is not shown yet.
  [[nodiscard]] Offset head_of(const Subscription& subscription) const {
    return hub_.topics[subscription.topic].head(subscription.view.level);
  }
  void forget(std::uint32_t id);

  // Starts the next write if none is under way: an answer if there is one, else events, subscriptions taking turns.
  void pump();
  void send_next();
  // Begins to write a message of its events, or leaves an answer to be written, or has nothing to send now.
  void send_events(Subscription& subscription);
  // Makes `ready`, what comes next for it. False if that has to wait.
  [[nodiscard]] bool prepare(Subscription& subscription);
  [[nodiscard]] bool look_ahead(Subscription& subscription);
  // Tells of a new run of the log. False: it has taken back what was sent, and the subscription has ended.
  [[nodiscard]] bool follow_run(Subscription& subscription);
  void announce(Subscription& subscription);
  void pump_later();
  // Batches. Makes `ready` of what is in memory from the cursor on, once it is enough or old enough.
  [[nodiscard]] bool close_batch(Subscription& subscription);
  [[nodiscard]] static Limit limit_of(const protocol::BatchBounds& bounds);
  [[nodiscard]] std::string batch_head(const Subscription& subscription, const std::string& topic,
                                       const Body& body) const;
  static void note_sent(Batching& batch, const Body& body, bool durable);
  // Why it may not be acknowledged up to there, if so.
  [[nodiscard]] static std::optional<std::string> inside_batch(const Batching& batch, Offset end);
  // Snapshots: writes the next message of one, or begins to read it.
  void send_snapshot(Subscription& subscription);
  void read_snapshot(Subscription& subscription);
  void on_snapshot(std::uint32_t id, Result<SnapshotBodies> bodies);
  [[nodiscard]] bool end_if_too_slow(Subscription& subscription);
  void write_body(Subscription& subscription, std::shared_ptr<const Body> body);
  void write(bool binary);
  void on_written(beast::error_code failed, std::size_t size);
  void read_log(Subscription& subscription);
  void on_chunk(std::uint32_t id, Result<ReplayChunk> chunk);
  void take_look(Subscription& subscription, Result<ReplayChunk>& chunk);
  void take_chunk(Subscription& subscription, ReplayChunk chunk);

  void replay(const std::string& request_id, protocol::StartReplay request);
  void steer(const std::string& request_id, const protocol::Steer& steer);
  [[nodiscard]] std::shared_ptr<SessionReplay> find_replay(std::uint32_t id);
  void send_replay(const std::shared_ptr<SessionReplay>& replay);
  void read_replay(const std::shared_ptr<SessionReplay>& replay);
  void on_replay_read(const std::shared_ptr<SessionReplay>& replay, PacedReplay::Chunk chunk, const Status& opened);
  void write_replay(SessionReplay& replay);
  // It is at its end, but memory, where live goes on, has not come to that.
  [[nodiscard]] bool waits_for_memory(const SessionReplay& replay) const;
  [[nodiscard]] bool end_replay(SessionReplay& replay);
  void forget_replay(const SessionReplay& replay);
  void leave_replay(const std::string& request_id, const SessionReplay& replay);
  void tick_replays(MonotonicTime now);
  void wake_me_at(MonotonicTime when);

  void close(websocket::close_code code, std::string_view reason);
  void close_now();
  void end();
  void end_broken(beast::error_code failed);
  [[nodiscard]] std::shared_ptr<Session> self() { return std::static_pointer_cast<Session>(shared_from_this()); }

  Hub& hub_;
  WebSocket socket_;
  State state_ = State::opening;
  beast::flat_buffer request_;
  bool reading_ = false;
  std::deque<std::string> answers_;
  std::vector<std::unique_ptr<Subscription>> subscriptions_;
  std::vector<std::shared_ptr<SessionReplay>> replays_;
  std::size_t turn_ = 0;  // of the subscription, or replay, that is asked first
  std::uint32_t last_id_ = 0;
  bool too_slow_ = false;  // a subscription was behind its bound: the session ends once that has been told
  bool pump_posted_ = false;
  std::optional<MonotonicTime> wakes_at_;  // asked of the hub: for the first batch that grows old
  bool replaying_ = false;                 // one read of the log at a time a session
  MonotonicTime deadline_;                 // of handshake or closing
  MonotonicTime last_request_;
  websocket::close_reason close_reason_;

  // The message being written: head, body, tail.
  bool writing_ = false;
  MonotonicTime write_began_;
  std::string head_;
  std::shared_ptr<const Body> body_;
  std::string_view tail_;
};

}  // namespace millrace::gateway
