#include <boost/json.hpp>
#include <cstring>

#include "bus/base/idle.hpp"
#include "subscribers/realtime/client/ws_client.hpp"
#include "subscribers/realtime/protocol.hpp"
#include "tools/torturer/stamp.hpp"
#include "tools/torturer/worker.hpp"

namespace millrace::torture {
namespace {

namespace json = boost::json;
namespace protocol = gateway::protocol;
using gateway::client::WsClient;

class Session {
 public:
  Session(const WorkerOptions& options, Journal& journal)
      : options_(options), journal_(journal), resume_(Resume::from(journal.found())), stalls_(journal) {}

  [[nodiscard]] Status run() {
    journal_.add({Kind::started, 0, options_.life, 0, 0, 0, 0, 0});
    BackOffIdle idle({.spins = 0,
                      .yields = 1,
                      .min_sleep = std::chrono::milliseconds(1),
                      .max_sleep = std::chrono::milliseconds(20)});
    for (;;) {
      WsClient client(options_.port);
      if (!client.connected()) {
        stalls_.disconnected();
        idle.idle(0);
        continue;
      }
      const auto done = serve(client);
      if (!done) return fail(done.error());
      if (*done) return {};
      stalls_.disconnected();
      idle.idle(1);
    }
  }

 private:
  // True once all there is was seen, false when the connection ended.
  [[nodiscard]] Result<bool> serve(WsClient& client) {
    client.send(R"({"op":"subscribe","topic":")" + std::string(topic_name) + R"(","format":"binary","start":)" +
                start() + '}');
    while (const auto message = client.receive()) {
      MILLRACE_TRY(client.last_was_binary() ? take_events(*message) : take_text(*message));
      MILLRACE_TRY(journal_.flush());
      if (!told_to_end()) continue;
      const auto end = read_end(options_.end_file);
      if (!end) return fail(end.error());
      if (resume_.next >= *end) return true;
    }
    return false;
  }

  [[nodiscard]] std::string start() const {
    if (!resume_.known) return "\"earliest\"";
    return "{\"offset\":" + std::to_string(resume_.next) + R"(,"log_id":")" + to_hex(resume_.log_id.bytes) +
           "\",\"run\":" + std::to_string(resume_.run) + '}';
  }

  [[nodiscard]] Status take_text(const std::string& text) {
    const json::value message = json::parse(text);
    const json::value& type = message.at("type");
    if (type == "heartbeat") return {};
    if (type == "run") {
      resume_.run = message.at("run").to_number<std::uint64_t>();
      journal_.add(resume_.record());
      return {};
    }
    if (type != "subscribed") return fail(ErrorCode::internal, "the gateway says: " + text);
    const auto first = message.at("first_offset").to_number<std::uint64_t>();
    if (resume_.known && first != resume_.next) {
      return fail(ErrorCode::internal, "resumed at " + std::to_string(resume_.next) + ", the gateway says: " + text);
    }
    const json::string& id = message.at("log_id").as_string();
    const auto bytes = uuid_bytes_from_hex({id.data(), id.size()});
    if (!bytes) return fail(ErrorCode::internal, "no log id: " + text);
    resume_.log_id.bytes = *bytes;
    resume_.run = message.at("run").to_number<std::uint64_t>();
    resume_.known = true;
    journal_.add(resume_.record());
    return {};
  }

  [[nodiscard]] Status take_events(const std::string& message) {
    protocol::BinaryHeader header{};
    if (message.size() < sizeof header) return fail(ErrorCode::corrupt, "a binary message below its header's size");
    std::memcpy(&header, message.data(), sizeof header);
    std::size_t at = header.header_size;
    for (std::uint32_t i = 0; i < header.count; ++i) {
      protocol::BinaryEntry entry{};
      if (at + header.entry_header_size > message.size()) return fail(ErrorCode::corrupt, "a binary message cut short");
      std::memcpy(&entry, message.data() + at, sizeof entry);
      at += header.entry_header_size;
      if (entry.frame_size > message.size() - at) return fail(ErrorCode::corrupt, "a binary message cut short");
      frame_.assign(message.begin() + static_cast<std::ptrdiff_t>(at),
                    message.begin() + static_cast<std::ptrdiff_t>(at + entry.frame_size));
      at += entry.frame_size;
      see(entry);
    }
    if (const auto run = runs_.take()) journal_.add(*run);
    if (resume_.next != header.next_offset || at != message.size()) {
      return fail(ErrorCode::corrupt, "a binary message that does not account for its offsets");
    }
    stalls_.progress(system_clock().monotonic());
    return {};
  }

  void see(const protocol::BinaryEntry& entry) {
    resume_.next = entry.offset + 1;
    FrameCursor cursor(std::as_bytes(std::span(frame_)));
    const auto frame = cursor.next();
    const bool valid = frame && (entry.flags & protocol::binary_invalid) == 0;
    const auto stamp = valid ? read_stamp(*flatbuffers::GetRoot<schemas::TradeEvent>(frame->payload().data()),
                                          PublisherId(entry.publisher), frame->sequence())
                             : std::nullopt;
    if (!stamp) {
      if (const auto run = runs_.take()) journal_.add(*run);
      return journal_.add({Kind::damaged, 0, 0, 0, 0, entry.offset, 1, 0});
    }
    if (const auto run = runs_.add({stamp->slot, stamp->life, stamp->base(), stamp->sequence, entry.offset})) {
      journal_.add(*run);
    }
  }

  const WorkerOptions& options_;
  Journal& journal_;
  Resume resume_;
  StallWatch stalls_;
  Runs runs_;
  std::vector<char> frame_;  // aligned, as a message is not
};

}  // namespace

Status run_websocket(const WorkerOptions& options) {
  auto journal = Journal::open(options.journal);
  if (!journal) return fail(journal.error());
  MILLRACE_TRY(Session(options, *journal).run());
  journal->add({Kind::finished, 0, options.life, 0, 0, 0, 0, 0});
  return journal->flush();
}

}  // namespace millrace::torture
