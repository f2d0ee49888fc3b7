// millrace-matching: a matching engine on the bus. One thread takes orders, matches and publishes.
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>

#include "bus/base/agent.hpp"
#include "bus/base/log.hpp"
#include "bus/bus.hpp"
#include "publishers/matching/command_line.hpp"
#include "publishers/matching/paced_flow.hpp"
#include "publishers/matching/recovery.hpp"
#include "publishers/matching/service.hpp"
#include "publishers/matching/snapshots.hpp"
#include "publishers/matching/topic_source.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace::matching {
namespace {

// How long a process that was told to end goes on trying to publish what it has.
constexpr std::chrono::nanoseconds kEndWithin = std::chrono::seconds(5);

volatile std::sig_atomic_t g_told_to_end = 0;

void end_on_signals() {
  struct sigaction action = {};
  action.sa_handler = [](int) { g_told_to_end = 1; };
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
}

OrderFlowConfig flow_of(const CommandLine& line) {
  return {.seed = line.seed, .commands_per_second = line.rate, .start = {}, .instruments = line.instruments};
}

void report_gap(const Gap& gap) {
  log().warn("orders {} to {} of publisher {} were never recorded", gap.from.value(), gap.to.value(),
             gap.publisher.value());
}

// Until a signal, or an error.
Status run(Service& service, FlowPublisher* flow, const CommandLine& line) {
  auto idle = make_idle_strategy(line.idle);
  if (!idle) return fail(idle.error());
  const auto& clock = system_clock();
  std::optional<MonotonicTime> end_by;
  while (!end_by || (service.waiting() > 0 && clock.monotonic() < *end_by)) {
    if (g_told_to_end != 0 && !end_by) {
      end_by = clock.monotonic() + kEndWithin;
      service.stop_taking();
      continue;
    }
    const auto now = clock.monotonic();
    auto work = service.do_work(now);
    if (service.error()) return fail(*service.error());
    if (flow != nullptr && !end_by) {
      work += flow->do_work(now);
      if (flow->error()) return fail(*flow->error());
    }
    (*idle)->idle(work);
  }
  if (service.waiting() == 0) return {};
  return fail(ErrorCode::timed_out, std::to_string(service.waiting()) +
                                        " events of the last order could not be published before the end; is the core "
                                        "running, and has its disk room?");
}

// With the flow, if this process is to publish it.
Status run_on_orders(Service& service, Bus& bus, const CommandLine& line) {
  if (line.input == InputKind::orders) return run(service, nullptr, line);
  auto flow_publisher = bus.publisher("orders", "order-flow");
  if (!flow_publisher) return fail(flow_publisher.error());
  FlowPublisher flow(flow_of(line), *flow_publisher, system_clock());
  return run(service, &flow, line);
}

Status come_back_and_run(Bus& bus, const CommandLine& line, const BusOutlet::Publishers& publishers) {
  auto& files = wal::posix_file_system();
  BusOutlet outlet(publishers);
  auto store = SnapshotStore::open(files, line.snapshots);
  if (!store) return fail(store.error());
  const auto snapshot = store->newest(outlet.recorded(), [](const std::string& path, const Error& why) {
    log().warn("the snapshot {} cannot be used: {}", path, why.message);
  });
  if (!snapshot) return fail(snapshot.error());
  auto subscriber = bus.subscribe("orders", {.level = line.level, .start = start_of(*snapshot), .on_gap = report_gap});
  if (!subscriber) return fail(cannot_come_back(subscriber.error(), *snapshot));
  TopicSource source(*subscriber);
  const auto begin = source.position();
  auto venue = venue_again(line.instruments, begin.log_id, *snapshot);
  if (!venue) return fail(venue.error());

  std::array<OutputLog, kOutputTopics> logs;
  const std::array<Publisher*, kOutputTopics> in_order{&publishers.trades, &publishers.orders, &publishers.depth};
  for (std::size_t i = 0; i < kOutputTopics; ++i) {
    const auto topic = bus.topic(kOutputTopicNames[i]);
    if (!topic) return fail(topic.error());
    logs[i] = {topic->log_folder, in_order[i]->id()};
  }
  auto last = last_ones(files, logs);
  if (!last) return fail(last.error());
  outlet.make_again_from(*snapshot ? (*snapshot)->outputs : OutputSequences{}, std::move(*last));
  log().info("comes back from order {}{}", begin.offset.value(), *snapshot ? ", with its snapshot" : "");

  Snapshots snapshots({**venue, source, outlet}, *store, begin.offset, line.snapshot_policy);
  Service service(**venue, source, outlet, &snapshots);
  return run_on_orders(service, bus, line);
}

Status connect_and_run(const CommandLine& line) {
  auto bus = Bus::connect({.name = "millrace-matching", .socket = line.socket});
  if (!bus) return fail(bus.error());
  auto trades = (*bus)->publisher("trade_events", line.name);
  if (!trades) return fail(trades.error());
  auto orders = (*bus)->publisher("order_events", line.name);
  if (!orders) return fail(orders.error());
  auto depth = (*bus)->publisher("market_l2", line.name);
  if (!depth) return fail(depth.error());

  if (!line.snapshots.empty()) return come_back_and_run(**bus, line, {*trades, *orders, *depth});
  auto venue = Venue::open({line.instruments, trades->epoch().value(), system_clock().wall()});
  if (!venue) return fail(venue.error());
  BusOutlet outlet({*trades, *orders, *depth});

  if (line.input == InputKind::generator) {
    FlowSource source(flow_of(line), system_clock());
    Service service(**venue, source, outlet);
    return run(service, nullptr, line);
  }
  // Subscribed before the flow begins, so that none of it is missed.
  auto subscriber = (*bus)->subscribe("orders", {.level = line.level, .start = line.start, .on_gap = report_gap});
  if (!subscriber) return fail(subscriber.error());
  TopicSource source(*subscriber);
  Service service(**venue, source, outlet);
  return run_on_orders(service, **bus, line);
}

}  // namespace
}  // namespace millrace::matching

int main(int count, char** arguments) {
  using namespace millrace;
  const auto parsed = matching::parse_command_line(count, arguments);
  if (const int* const exit_code = std::get_if<int>(&parsed)) return *exit_code;
  const auto& line = std::get<matching::CommandLine>(parsed);
  matching::end_on_signals();
  open_log("millrace-matching", line.log_level);
  if (line.cpu && !pin_this_thread(*line.cpu)) log().warn("cannot run on core {} alone; going on without", *line.cpu);
  const auto status = matching::connect_and_run(line);
  if (!status) std::fprintf(stderr, "millrace-matching: %s\n", status.error().message.c_str());
  close_log();
  return status ? 0 : 1;
}
