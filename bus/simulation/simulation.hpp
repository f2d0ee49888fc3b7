// A whole bus, its disk and everybody on it, run from one seed: what it draws is the configuration, and then step after
// step who does what, who dies and what fails. Single-threaded, by a manual clock: a seed replays exactly.
//
// Modelled: publishing processes that batch, wait, die with an open page or batch, and come back as new incarnations
// or find their name taken; followers and live readers that are slow, die and resume by token; a core that dies between
// any two steps and in the middle of any of its disk operations; a sync that begins, runs and ends at different times;
// a host that dies with everybody; a disk that fails once or for ever, and topics that are reopened; publishers that
// ask what became of their events; durable consumers that acknowledge, hand over and are fenced. Not modelled: threads
// that race (see the tests labelled so), hostile publishers, bytes that rot on the disk, the control socket.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "bus/simulation/model.hpp"
#include "bus/testing/memory_bus.hpp"
#include "wal/fault_file_system.hpp"

namespace millrace::simulation {

class Simulation {
 public:
  explicit Simulation(std::uint64_t seed, bool print = false);
  ~Simulation();

  // All steps; then the disk is healed, all is drained, and the host dies once more. What was violated, or empty.
  std::string run();
  // The steps so far, a line each.
  [[nodiscard]] const std::vector<std::string>& trace() const { return trace_; }

  struct Totals {
    std::uint64_t steps = 0;
    std::uint64_t committed = 0;
    std::uint64_t recorded = 0;  // events in the log at the end
    std::uint64_t seen = 0;      // by all readers
    std::uint64_t core_deaths = 0;
    std::uint64_t host_deaths = 0;
    std::uint64_t disk_failures = 0;
    std::uint64_t heals = 0;  // followers that fell back to the log
    std::uint64_t resumes = 0;
    std::uint64_t rolled_back = 0;
    std::uint64_t gaps = 0;  // events that were declared lost
    std::uint64_t reopened = 0;
    std::uint64_t acknowledged = 0;
    std::uint64_t given_up = 0;  // told not_recorded, lost or retracted
    std::uint64_t checkpoints = 0;
    std::uint64_t fenced = 0;
  };
  [[nodiscard]] const Totals& totals() const { return totals_; }

 private:
  struct Process;  // a publishing one
  struct Reader;
  struct Token {
    Level level;
    Position position;
  };
  struct Step {
    unsigned weight;
    const char* name;
    void (Simulation::*run)();
  };
  static const std::vector<Step> steps;

  // Publishing processes.
  void start_process();
  void attach_processes();
  void publish();
  void begin_batch();
  void end_batch();
  void idle_process();
  void kill_process();
  void reap();
  void await();
  void ask_outcome();
  // Readers.
  void start_reader();
  void attach_readers();
  void poll();
  void drop_reader();
  void resume();
  // Durable consumers.
  void start_consumer();
  void admit_consumers();
  void acknowledge();
  void take_store();
  void run_store();
  void complete_store();
  // The core.
  void record();
  void take_sync();
  void run_sync();
  void complete_sync();
  void core_round();
  void grant();
  void prepare();
  void retain();
  void kill_core();
  void start_core();
  void reopen();
  // Everything else.
  void kill_host();
  void break_disk();
  void heal_disk();
  void pass_time();
  void audit();

  void attach(Process& process);
  void publish_into(Process& process);
  void commit_batch(Process& process);
  void commit(Process& process, Sequence sequence, std::uint64_t digest);
  void follow(Process& process);
  void kill(std::size_t process);
  [[nodiscard]] bool open(Level level, const Start& start, std::optional<Offset> at);
  [[nodiscard]] Offset first_on_disk();
  void poll(Reader& reader, std::size_t limit);
  void drop(std::size_t reader);
  void break_disk(std::uint64_t within);
  [[nodiscard]] bool claim(Reader& reader, bool take_over);
  void begin(std::size_t consumer);
  void expect_rolled_back(Offset begin);
  void forget_work();  // of the core, by its threads
  void count_from_here();
  void resume(std::size_t token);
  void check();
  void finish();
  void drain_processes();
  void drain_readers();
  // For looking at the disk without being seen by it.
  void with_whole_disk(const std::function<void()>& work);

  [[nodiscard]] bool recording() const;
  [[nodiscard]] std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  [[nodiscard]] bool chance(unsigned percent) { return pick(100) < percent; }
  void say(std::string what);

  std::mt19937_64 random_;
  bool print_;
  ManualClock clock_;
  wal::FaultFileSystem files_;
  testing::MemoryBusOptions options_;
  std::size_t readers_max_ = 0;
  std::size_t names_ = 0;
  bool core_lives_ = false;  // until the end: its topics fail and are reopened the more
  std::optional<Model> model_;
  std::unique_ptr<testing::MemoryBus> bus_;
  std::uint64_t core_ = 0;  // counts them: who is attached to an earlier one must attach again
  std::size_t runs_known_ = 0;
  // Where the recorder's counters stood at `counted_end_`: events, and those given up of the log's `counted_gaps_`.
  Offset counted_end_;
  std::uint64_t counted_events_ = 0;
  std::uint64_t counted_gaps_ = 0;
  std::uint64_t counted_not_recorded_ = 0;
  std::vector<std::unique_ptr<Process>> processes_;
  std::vector<std::size_t> dead_streams_;  // of processes whose death the core has not seen
  std::vector<std::unique_ptr<Reader>> readers_;
  std::vector<Token> tokens_;
  struct Syncing {
    wal::SyncTicket ticket;
    std::optional<Status> status;  // once it ran
  };
  std::deque<Syncing> syncs_;  // several only where the topic was reopened meanwhile
  // How many were given a consumer's name, and which of them was the last to begin under it.
  struct Owned {
    std::uint64_t claims = 0;
    std::uint64_t begun = 0;
  };
  std::map<std::string, Owned> owned_;
  std::optional<std::vector<wal::ConsumerRecord>> store_;
  std::optional<Status> stored_;            // of store_, once it ran
  std::vector<PublishPosition> positions_;  // of all that was committed
  struct Fault {
    std::uint64_t at;
    ErrorCode code;
    bool forever;
  };
  std::optional<Fault> fault_;
  std::uint64_t number_ = 0;  // of events
  std::uint64_t step_ = 0;
  std::uint64_t count_ = 0;  // of steps
  std::vector<std::string> trace_;
  Totals totals_;
};

}  // namespace millrace::simulation
