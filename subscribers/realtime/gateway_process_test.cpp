// Proves what a WebSocket client may rely on with the real gateway on a real core: every event once and in order
// whatever is started, stopped or killed, the same events whichever way they are asked for, and that no client disturbs
// another.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <set>

#include "bus/base/rfc3339.hpp"
#include "subscribers/realtime/gateway.hpp"
#include "subscribers/realtime/testing/account_keeper.hpp"
#include "subscribers/realtime/testing/processes.hpp"
#include "wal/posix_file_system.hpp"
#include "wal/reader.hpp"

namespace millrace::gateway {
namespace {

using testing::AccountKeeper;
using testing::becomes;
using testing::connect;
using testing::counter;
using testing::eventually;
using testing::Feed;
using testing::gateway_pid;
using testing::get;
using testing::LoneGateway;
using testing::number;
using testing::Process;
using testing::Received;
using testing::recorded_end;
using testing::Stream;
using testing::TestCore;
using testing::topic_info;
using testing::Wanted;
using testing::WsClient;
namespace json = boost::json;

// The sequence and the order id that a trade carries: both one more than its offset, where one publisher is alone.
void expect_numbered(const Received& event) {
  std::uint64_t sequence = 0;
  std::uint64_t order = 0;
  if (event.frame.empty()) {
    sequence = number(event.json.at("sequence"));
    order = std::stoull(event.json.at("data").at("buy_order_id").as_string().c_str());
  } else {
    const FrameView frame(reinterpret_cast<const std::byte*>(event.frame.data()));
    sequence = frame.sequence().value();
    order = flatbuffers::GetRoot<schemas::TradeEvent>(frame.payload().data())->buy_order_id();
  }
  ASSERT_EQ(sequence, event.offset + 1);
  ASSERT_EQ(order, event.offset + 1);
}

TEST(Gateway, EveryStartWhileAPublisherRunsAtFullSpeedLeavesNoGapAndNoDuplicate) {
  TestCore core;
  LoneGateway gateway(core);
  auto bus = connect(core);
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
  ASSERT_TRUE(eventually([&] { return number(topic_info(gateway.port()).at("next_offset")) >= 1'000; }));
  // A time in the midst of what is recorded by now.
  const auto page = get(gateway.port(), "/v1/topics/trade_events/events?from=500&limit=1");
  const std::string time = page.at("events").at(0).at("record_time").as_string().c_str();

  std::vector<std::unique_ptr<Stream>> streams;
  for (const std::string& start : {std::string("\"live\""), std::string("\"earliest\""),
                                   std::string("{\"offset\":700}"), "{\"time\":\"" + time + "\"}"}) {
    for (const char* format : {"json", "binary"}) {
      streams.push_back(
          std::make_unique<Stream>(gateway.port(), Wanted{.start = start, .format = format}, expect_numbered));
    }
  }
  for (std::size_t i : {0u, 1u}) EXPECT_GE(streams[i]->first(), 1000u) << "live: what was recorded before is left out";
  for (std::size_t i : {2u, 3u}) EXPECT_EQ(streams[i]->first(), 0u);
  for (std::size_t i : {4u, 5u}) EXPECT_EQ(streams[i]->first(), 700u);
  for (std::size_t i : {6u, 7u}) EXPECT_LE(streams[i]->first(), 500u) << "events before may have the same time";
  // Each is at work while the publisher still runs; then all read on to the end of what was published.
  std::atomic<std::size_t> at_work{0};
  std::atomic<std::uint64_t> end{UINT64_MAX};
  std::vector<std::thread> readers;
  readers.reserve(streams.size());
  for (const auto& stream : streams) {
    readers.emplace_back([&] {
      EXPECT_TRUE(stream->until([&] { return stream->count() > 10'000; }));
      ++at_work;
      EXPECT_TRUE(stream->until([&] { return stream->next() >= end; })) << "at " << stream->next();
    });
  }
  // ... or has published what fits the log: a reader that retention overtakes is told so, and that is another test's.
  EXPECT_TRUE(eventually([&] { return at_work == streams.size() || recorded_end(*bus) > 2'000'000; }));
  puppet.signal(SIGKILL);
  (void)puppet.wait();
  // Its heir is let in once all that it committed is recorded, and publishes the last event.
  const auto done = core.puppet("trade_events", "maker", 1).line_with("done ");
  end = done ? std::stoull(done->substr(5)) : 0;
  for (std::thread& reader : readers) reader.join();
  for (const auto& stream : streams) {
    EXPECT_EQ(stream->next(), end) << "sequence and offset go together, so this is the heir's";
    if (stream->resumed() > 0) std::printf("a session was cut off %lu times, and resumed\n", stream->resumed());
  }
}
// An event as the log has it, in the words of both formats.
struct Logged {
  json::value json;
  protocol::BinaryEntry entry{};
  std::string frame;
};
std::vector<Logged> read_log(const TestCore& core, const schemas::EventType& type) {
  std::vector<Logged> events;
  auto log = wal::Reader::open(wal::posix_file_system(), core.log_folder("trade_events"));
  EXPECT_TRUE(log);
  for (auto batch = log->next(); batch && *batch; batch = log->next()) {
    wal::EventCursor cursor(**batch);
    while (const auto event = cursor.next()) {
      const FrameView& frame = event->frame;
      std::string publish_time;
      append_rfc3339(frame.publish_time(), publish_time);
      std::string record_time;
      append_rfc3339((*batch)->record_time, record_time);
      char key[17];
      std::snprintf(key, sizeof key, "%016lx", frame.key().value());
      Logged& logged = events.emplace_back();
      logged.json = {{"offset", event->offset.value()},
                     {"publisher", (*batch)->publisher.value()},
                     {"epoch", (*batch)->epoch.value()},
                     {"sequence", frame.sequence().value()},
                     {"publish_time", publish_time},
                     {"record_time", record_time},
                     {"key", key},
                     {"cause", nullptr},
                     {"data", json::parse(type.to_json(frame.payload()).value())}};
      const std::size_t size = frame_size(frame.payload().size());
      logged.entry = {event->offset.value(),
                      (*batch)->record_time.ns,
                      static_cast<std::uint32_t>((*batch)->publisher.value()),
                      static_cast<std::uint32_t>((*batch)->epoch.value()),
                      0,
                      static_cast<std::uint32_t>(size)};
      logged.frame.assign(reinterpret_cast<const char*>(frame.payload().data()) - frame_header_size, size);
    }
  }
  return events;
}

TEST(Gateway, TheSameEventsComeAsJsonAsBinaryOverHttpAndStandInTheLog) {
  TestCore core("[topics.trade_events]\npublishers = 2\n");
  LoneGateway gateway(core);
  auto bus = connect(core);
  const auto type = bus->topic("trade_events")->type;
  std::vector<Received> live_json, live_binary, log_json, log_binary;
  const auto into = [](std::vector<Received>& events) {
    return [&events](const Received& event) { events.push_back(event); };
  };
  Stream one(gateway.port(), {.format = "json"}, into(live_json));
  Stream two(gateway.port(), {.format = "binary"}, into(live_binary));
  {
    Feed left(*bus, "left", 16);
    Feed right(*bus, "right", 16);
    ASSERT_TRUE(one.until([&] { return one.count() >= 5'000; }));
  }
  const std::uint64_t end = recorded_end(*bus);
  EXPECT_TRUE(one.to(end) && two.to(end));
  LoneGateway late(core);  // its memory is empty: it has all from the log
  Stream three(late.port(), {.start = "\"earliest\"", .format = "json"}, into(log_json));
  Stream four(late.port(), {.start = "\"earliest\"", .format = "binary"}, into(log_binary));
  EXPECT_TRUE(three.to(end) && four.to(end));
  std::vector<json::value> paged;
  while (paged.size() < end) {
    const auto page =
        get(late.port(), "/v1/topics/trade_events/events?limit=1000&from=" + std::to_string(paged.size()));
    ASSERT_GT(number(page.at("count")), 0u);
    for (const auto& event : page.at("events").as_array()) paged.push_back(event);
  }

  const std::vector<Logged> events = read_log(core, *type);
  ASSERT_EQ(events.size(), end);
  std::set<std::uint64_t> publishers;
  for (std::size_t i = 0; i < end; ++i) {
    publishers.insert(events[i].entry.publisher);
    for (const auto* seen : {&live_json[i].json, &log_json[i].json, &paged[i]}) {
      // As text: numbers of equal value are of several kinds.
      ASSERT_EQ(json::serialize(*seen), json::serialize(events[i].json)) << i;
    }
    for (const auto* seen : {&live_binary[i], &log_binary[i]}) {
      ASSERT_EQ(std::memcmp(&seen->entry, &events[i].entry, sizeof seen->entry), 0) << i;
      ASSERT_EQ(seen->frame, events[i].frame) << i;
    }
  }
  EXPECT_EQ(publishers.size(), 2u);
}

TEST(Gateway, KilledInFullFlightItIsStartedAgainAndItsClientsResume) {
  TestCore core("", false);
  const std::uint16_t port = testing::free_port();
  testing::with_gateway(core, port);
  core.start();
  auto bus = connect(core);
  ASSERT_TRUE(becomes(port, 200));
  Stream json_stream(port, {.format = "json"}, expect_numbered);
  Stream binary_stream(port, {.format = "binary"}, expect_numbered);
  Feed feed(*bus, "maker", 32);
  for (std::uint64_t death = 1; death <= 3; ++death) {
    for (Stream* stream : {&json_stream, &binary_stream}) {
      const std::uint64_t before = stream->count();
      ASSERT_TRUE(stream->until([&] { return stream->count() > before + 1'000; }));
    }
    const pid_t pid = gateway_pid(*bus);
    ASSERT_GT(pid, 0);
    ::kill(pid, SIGKILL);
    ASSERT_TRUE(eventually([&] {
      const pid_t next = gateway_pid(*bus);
      return next != 0 && next != pid;
    })) << "the core starts it again";
    for (Stream* stream : {&json_stream, &binary_stream}) {
      ASSERT_TRUE(stream->until([&] { return stream->resumed() == death; }));
    }
  }
  feed.stop();
  for (Stream* stream : {&json_stream, &binary_stream}) {
    EXPECT_TRUE(stream->to(feed.published()));
    EXPECT_EQ(stream->resumed(), 3u);
  }
}

TEST(Gateway, StartedByACoreItEndsWithItAndTheNextCoresOwnTakesItsPlace) {
  TestCore core("", false);
  const std::uint16_t port = testing::free_port();
  testing::with_gateway(core, port);
  core.start();
  auto bus = connect(core);
  ASSERT_TRUE(becomes(port, 200));
  Stream stream(port, {}, expect_numbered);
  Feed feed(*bus, "maker", 32);
  ASSERT_TRUE(stream.until([&] { return stream.count() > 1'000; }));
  core.kill();
  core.start();
  ASSERT_TRUE(stream.until([&] { return stream.resumed() > 0; }));
  feed.stop();
  EXPECT_TRUE(stream.to(feed.published()));
  bus.reset();
  EXPECT_EQ(core.stop(), 0);
  EXPECT_EQ(client::http_request(port, "GET", "/health").status, 0u) << "no gateway is left behind";
}

TEST(Gateway, WhenTheCoreIsKilledSessionsStayAndEventsGoOnWithTheNext) {
  TestCore core;
  LoneGateway gateway(core, {"--cache-bytes", "65536"});
  auto bus = connect(core);
  Stream stream(gateway.port(), {.start = "\"earliest\""}, expect_numbered);
  Feed feed(*bus, "maker", 32);
  for (std::uint64_t death = 1; death <= 3; ++death) {
    const std::uint64_t before = stream.count();
    ASSERT_TRUE(stream.until([&] { return stream.count() > before + 1'000; }));
    core.kill();
    EXPECT_TRUE(becomes(gateway.port(), 503, "the core is away"));
    const std::uint64_t heartbeats = stream.heartbeats();
    EXPECT_TRUE(stream.until([&] { return stream.heartbeats() > heartbeats; }));
    EXPECT_EQ(number(get(gateway.port(), "/v1/topics/trade_events/events?from=0").at("count")), 100u);
    core.start();
    EXPECT_TRUE(becomes(gateway.port(), 200));
    ASSERT_TRUE(eventually([&] { return number(topic_info(gateway.port()).at("run")) == death + 1; }));
    const auto log_id = json::serialize(topic_info(gateway.port()).at("log_id"));
    const auto position = R"({"offset":10,"log_id":)" + log_id + R"(,"run":)" + std::to_string(death + 1) + '}';
    Stream resumed(gateway.port(), {.start = position}, expect_numbered);
    EXPECT_EQ(resumed.first(), 10u) << "a position of the new run, from the log";
    EXPECT_TRUE(resumed.to(before));
  }
  feed.stop();
  EXPECT_TRUE(stream.to(feed.published()));
  EXPECT_EQ(stream.resumed(), 0u);
  EXPECT_EQ(stream.run(), 4u) << "told in the stream, since a position of an earlier run is refused beyond its end";
}

TEST(Gateway, ACoreThatStandsStillIsUnhealthyAndNoSessionNoticesButForTheSilence) {
  TestCore core;
  LoneGateway gateway(core);
  auto bus = connect(core);
  Stream stream(gateway.port(), {}, expect_numbered);
  Feed feed(*bus, "maker", 32);
  ASSERT_TRUE(stream.until([&] { return stream.count() > 1'000; }));
  core.process().signal(SIGSTOP);
  EXPECT_TRUE(becomes(gateway.port(), 503, "the core has not answered for"));
  const std::uint64_t heartbeats = stream.heartbeats();
  EXPECT_TRUE(stream.until([&] { return stream.heartbeats() >= heartbeats + 3; }));
  EXPECT_EQ(number(get(gateway.port(), "/v1/topics/trade_events/events?from=0").at("count")), 100u);
  const std::uint64_t stopped_at = stream.count();
  core.process().signal(SIGCONT);
  EXPECT_TRUE(becomes(gateway.port(), 200));
  EXPECT_TRUE(stream.until([&] { return stream.count() > stopped_at + 1'000; }));
  feed.stop();
  EXPECT_TRUE(stream.to(feed.published()));
  EXPECT_EQ(stream.resumed(), 0u);
}

TEST(Gateway, APublishersDeathShows) {
  TestCore core;
  LoneGateway gateway(core);
  Process puppet = core.puppet("trade_events", "maker", 0);
  ASSERT_TRUE(puppet.line_with("recorded")) << puppet.errors();
  const auto state = [&]() -> std::string {
    const auto publishers = get(gateway.port(), "/v1/publishers");
    for (const auto& publisher : publishers.as_array()) {
      if (publisher.at("topic") == "trade_events" && publisher.at("name") == "maker") {
        return publisher.at("state").as_string().c_str();
      }
    }
    return "none";
  };
  EXPECT_TRUE(eventually([&] { return state() == "healthy"; })) << state();
  puppet.signal(SIGKILL);
  (void)puppet.wait();
  EXPECT_TRUE(eventually([&] { return state() == "dead"; })) << state();
  Process heir = core.puppet("trade_events", "maker", 0);
  EXPECT_TRUE(eventually([&] { return state() == "healthy"; })) << state();
}

TEST(Gateway, ATopicOfAUsersOwnSchemaIsServedInBothFormatsAndFiltered) {
  TestCore core("[topics.fills]\nschema = \"fills.fbs\"\nroot = \"desk.Fill\"\nkey_field = \"instrument\"\n", false);
  std::ofstream(core.folder() + "/fills.fbs")
      << "namespace desk;\ntable Fill { instrument:string; lots:int; note:string; }\nroot_type Fill;\n";
  core.start();
  LoneGateway gateway(core);
  auto bus = connect(core);
  const schemas::EventType& type = *bus->topic("fills")->type;
  std::vector<std::string> as_json, as_binary, by_lots;
  Stream json_stream(gateway.port(), {.topic = "fills", .filter = R"({"instrument":"MILL"})"},
                     [&](const Received& event) { as_json.push_back(json::serialize(event.json.at("data"))); });
  Stream binary_stream(gateway.port(),
                       {.topic = "fills", .format = "binary", .filter = R"({"instrument":["MILL","NONE"]})"},
                       [&](const Received& event) {
                         const FrameView frame(reinterpret_cast<const std::byte*>(event.frame.data()));
                         as_binary.push_back(type.to_json(frame.payload()).value());
                       });
  Stream lots_stream(gateway.port(), {.topic = "fills", .filter = R"({"lots":"7"})"},
                     [&](const Received& event) { by_lots.push_back(json::serialize(event.json.at("data"))); });
  auto publisher = bus->publisher("fills", "desk");
  ASSERT_TRUE(publisher) << publisher.error().message;
  std::vector<std::string> of_mill;
  constexpr int count = 100;
  for (int i = 0; i < count; ++i) {
    const bool mill = i % 3 == 0;
    const std::string text = R"({"instrument":")" + std::string(mill ? "MILL" : "RACE") + R"(","lots":)" +
                             std::to_string(i) + R"(,"note":"the )" + std::to_string(i) + "th\"}";
    if (mill) of_mill.push_back(text);
    const auto payload = type.from_json(text);
    ASSERT_TRUE(payload) << payload.error().message;
    ASSERT_TRUE(eventually([&] { return bool(publisher->publish(*payload)); }));
  }
  EXPECT_TRUE(json_stream.to(count) && binary_stream.to(count) && lots_stream.until([&] { return !by_lots.empty(); }));
  EXPECT_EQ(as_json, of_mill);
  EXPECT_EQ(as_binary, of_mill);
  EXPECT_EQ(by_lots, std::vector<std::string>{R"({"instrument":"RACE","lots":7,"note":"the 7th"})"});
}

TEST(Gateway, AThousandSessionsGetTheNextEventAndOneMoreIsRefused) {
  raise_descriptor_limit();
  TestCore core;
  LoneGateway gateway(core, {"--sessions-max", "1000"});
  auto bus = connect(core);
  std::vector<WsClient> clients;
  for (int i = 0; i < 1000; ++i) {
    clients.emplace_back(gateway.port());
    ASSERT_TRUE(clients.back().connected()) << i;
    clients.back().send(R"({"op":"subscribe","topic":"trade_events"})");
  }
  for (WsClient& client : clients) ASSERT_FALSE(client.receive_type("subscribed").is_null());
  const WsClient one_more(gateway.port());
  EXPECT_FALSE(one_more.connected());
  EXPECT_EQ(one_more.status(), 503u);
  EXPECT_EQ(counter(gateway.port(), "sessions_refused"), 1u);
  Process puppet = core.puppet("trade_events", "maker", 1);
  for (WsClient& client : clients) {
    const auto events = client.receive_events(1);
    ASSERT_EQ(events.size(), 1u);
    ASSERT_EQ(number(events.front().at("offset")), 0u);
  }
  clients.pop_back();
  EXPECT_TRUE(eventually([&] { return WsClient(gateway.port()).connected(); })) << "whoever leaves makes room";
}

TEST(Gateway, AClientThatNeverReadsIsCutOffAndCountedAndNobodyElse) {
  TestCore core;
  LoneGateway gateway(core, {"--write-timeout-ms", "500"});
  auto bus = connect(core);
  WsClient silent(gateway.port(), {.receive_buffer = 4096, .origin = ""});
  silent.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest"})");
  silent.expect("subscribed");
  Stream other(gateway.port(), {.format = "binary"}, expect_numbered);
  Feed feed(*bus, "maker", 64);
  EXPECT_TRUE(other.until([&] { return counter(gateway.port(), "sessions_cut_slow") > 0; }));
  while (silent.receive()) {
  }
  EXPECT_EQ(silent.close_code(), 0u) << "half a message fills its socket: no close frame can follow";
  feed.stop();
  EXPECT_TRUE(other.to(feed.published()));
  EXPECT_EQ(other.resumed(), 0u);
  EXPECT_EQ(counter(gateway.port(), "sessions_cut_slow"), 1u);
}

// Each client under its policy does not read while a publisher runs; then all read on to the end.
TEST(Gateway, SlowClientsUnderEachPolicyAreToldWhatTheyMissAndDisturbNobody) {
  TestCore core;
  LoneGateway gateway(core, {"--cache-bytes", "1000000"});
  auto bus = connect(core);
  constexpr int small = 4096;  // what is sent without being read fits its socket only in part
  AccountKeeper healing(gateway.port(), R"(,"slow":"heal")", small);
  AccountKeeper conflating(gateway.port(), R"(,"slow":"conflate","queue":1000,"format":"binary")", small);
  AccountKeeper cut(gateway.port(), R"(,"slow":"disconnect","queue":1000)", small);
  Stream peer(gateway.port(), {.format = "binary"}, expect_numbered);
  Feed feed(*bus, "maker", 64);
  // Far more than sockets and memory hold. The peer reads all the while.
  EXPECT_TRUE(peer.until([&] { return feed.published() > 200'000; }));
  feed.stop();
  const std::uint64_t end = feed.published();
  EXPECT_TRUE(peer.to(end)) << "the peer has every event";
  EXPECT_EQ(peer.count(), end);
  EXPECT_EQ(peer.resumed(), 0u);

  while (cut.one()) {
  }
  ASSERT_EQ(cut.ended, "too_slow");
  EXPECT_EQ(cut.close_code(), 4001);
  cut.expect_balance(cut.last);
  const std::uint64_t cut_at = number(cut.last.at("next_offset"));
  EXPECT_EQ(cut.offsets.size(), cut_at) << "up to where it was cut off it has every event";
  AccountKeeper again(gateway.port(),
                      R"(,"slow":"disconnect","queue":1000,"start":{"offset":)" + std::to_string(cut_at) + "}");

  ASSERT_TRUE(healing.until(end) && conflating.until(end) && again.until(end));
  EXPECT_EQ(cut.offsets.size() + again.offsets.size(), end);
  healing.expect_balance(healing.books);
  EXPECT_EQ(healing.offsets.size(), end);
  EXPECT_GT(number(healing.books.at("books").at("healed")), 0u);
  for (std::uint64_t i = 0; i < end; ++i) ASSERT_EQ(healing.offsets[i], i);
  conflating.expect_balance(conflating.books);
  EXPECT_EQ(conflating.first, 0u);
  ASSERT_FALSE(conflating.conflated.empty());
  EXPECT_LT(conflating.offsets.size(), end / 2);
  // Trades are of two instruments in turn: the newest of each are the last two of a merged range.
  std::set<std::uint64_t> sent(conflating.offsets.begin(), conflating.offsets.end());
  EXPECT_EQ(sent.size(), conflating.offsets.size());
  for (const auto& left : conflating.conflated) {
    for (std::uint64_t i = left.from; i <= left.to; ++i) ASSERT_EQ(sent.contains(i), i + 2 > left.merged_to) << i;
  }
  EXPECT_TRUE(sent.contains(end - 1) && sent.contains(end - 2));
  EXPECT_EQ(counter(gateway.port(), "sessions_cut_behind"), 1u);
  EXPECT_EQ(counter(gateway.port(), "sessions_cut_slow"), 0u);
  EXPECT_EQ(counter(gateway.port(), "gaps_conflated"), conflating.conflated.size());
}

TEST(Gateway, AClientThatPausesGetsEveryEventFromTheLog) {
  TestCore core;
  LoneGateway gateway(core, {"--cache-bytes", "1000000"});
  auto bus = connect(core);
  Stream slow(gateway.port(), {}, expect_numbered);
  Feed feed(*bus, "maker", 256);
  // Its socket holds some megabytes, the gateway's memory one, and this is fifty.
  ASSERT_TRUE(eventually([&] { return feed.published() > 200'000; }));
  feed.stop();
  EXPECT_TRUE(slow.to(feed.published()));
  EXPECT_EQ(slow.resumed(), 0u);
  EXPECT_GT(counter(gateway.port(), "replays_healed"), 0u);
}

}  // namespace
}  // namespace millrace::gateway
