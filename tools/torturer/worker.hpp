// The processes that a torture run starts, stops and kills. Each keeps a journal; a killed one's successor reads it and
// goes on. Told SIGTERM they end in good order: publishers once all they published is synced, readers once they have
// seen all that the log has.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "bus/base/clock.hpp"
#include "bus/base/result.hpp"
#include "bus/event.hpp"
#include "tools/torturer/journal.hpp"

namespace millrace::torture {

struct WorkerOptions {
  std::string socket;      // of the core
  std::string journal;     // file
  std::string end_file;    // made by the driver before SIGTERM: the offset behind the last event there is
  std::uint16_t port = 0;  // of the gateway
  std::uint32_t slot = 0;  // of a publisher
  std::uint64_t life = 1;  // the how many-th process in this place
  std::uint64_t rate = 0;  // events a second that a publisher keeps below in the mean; 0: no limit
  std::string level{};     // of a subscriber
};

// Until SIGTERM. Errors end the process, and the run.
[[nodiscard]] Status run_publisher(const WorkerOptions& options);
[[nodiscard]] Status run_subscriber(const WorkerOptions& options);
[[nodiscard]] Status run_websocket(const WorkerOptions& options);

void catch_end();
[[nodiscard]] bool told_to_end();
// What the driver wrote to the end file.
[[nodiscard]] Result<std::uint64_t> read_end(const std::string& end_file);

// Where a follower's journal ends: the token it resumes from, if it saw anything before.
struct Resume {
  LogId log_id;
  std::uint64_t run = 0;
  std::uint64_t next = 0;  // offset
  bool known = false;

  [[nodiscard]] static Resume from(const std::vector<Record>& found);
  // As a record, for the one after this process.
  [[nodiscard]] Record record() const;
};

// Finds the times without progress that are worth a word, and writes them into the journal.
class StallWatch {
 public:
  explicit StallWatch(Journal& journal) : journal_(journal) {}

  void progress(MonotonicTime now);
  void disconnected() { disconnected_ = true; }

 private:
  Journal& journal_;
  MonotonicTime last_{};  // 0: none yet; what came before counts for nothing
  bool disconnected_ = false;
};

inline constexpr std::chrono::nanoseconds stall_worth_a_word = std::chrono::milliseconds(5);

}  // namespace millrace::torture
