// Proves that a durable consumer over WebSocket is one of the core's: where it acknowledged it goes on, whoever is
// killed; a name is one owner's, in this protocol or in shared memory; and a core that stands still keeps no name.
#include <gtest/gtest.h>

#include <csignal>

#include "subscribers/realtime/testing/processes.hpp"

namespace millrace::gateway {
namespace {

using testing::becomes;
using testing::connect;
using testing::eventually;
using testing::Feed;
using testing::gateway_pid;
using testing::LoneGateway;
using testing::number;
using testing::recorded_end;
using testing::TestCore;
using testing::WsClient;
namespace json = boost::json;

// A client that has a name, and checks that what comes has neither gap nor duplicate.
class Durable {
 public:
  explicit Durable(std::uint16_t port, const std::string& fields = "", const std::string& name = "risk")
      : client(port) {
    client.send(R"({"op":"subscribe","topic":"trade_events","consumer":")" + name + '"' + fields + "}");
    for (;;) {
      const auto message = client.receive();
      if (!message) return;
      answer = json::parse(*message);
      if (answer.at("type") == "subscribed") first = next = number(answer.at("first_offset"));
      if (answer.at("type") != "heartbeat") return;
    }
  }
  [[nodiscard]] bool stands() const { return !answer.is_null() && answer.at("type") == "subscribed"; }
  [[nodiscard]] std::string refusal() const { return stands() ? "none" : answer.at("code").as_string().c_str(); }

  // Takes messages up to the first that is neither events, heartbeat nor run, which it returns.
  json::value other() {
    for (;;) {
      const auto message = client.receive();
      if (!message) return nullptr;
      json::value parsed = json::parse(*message);
      if (parsed.at("type") == "heartbeat" || parsed.at("type") == "run") continue;
      if (parsed.at("type") != "events" && parsed.at("type") != "batch") return parsed;
      take(parsed);
    }
  }
  // Takes events until all before `end` are here.
  [[nodiscard]] bool to(std::uint64_t end) {
    while (next < end && !::testing::Test::HasFailure()) {
      const auto message = client.receive();
      if (!message) return false;
      const json::value parsed = json::parse(*message);
      if (parsed.at("type") == "heartbeat" || parsed.at("type") == "run") continue;
      if (parsed.at("type") == "batch") batches.push_back({number(parsed.at("first_offset")), next});
      EXPECT_TRUE(parsed.at("type") == "events" || parsed.at("type") == "batch") << parsed;
      if (!::testing::Test::HasFailure()) take(parsed);
      if (parsed.at("type") == "batch") {
        EXPECT_EQ(batches.back().first, batches.back().next) << "nothing lies between two batches";
        batches.back().next = next;
        EXPECT_EQ(number(parsed.at("next_offset")), next);
      }
    }
    return next >= end;
  }
  // The checkpoint that the answer names.
  std::uint64_t ack(std::uint64_t offset) {
    client.send(R"({"op":"ack","subscription":1,"next_offset":)" + std::to_string(offset) + "}");
    const json::value acked = other();
    EXPECT_EQ(acked.is_null() ? "closed" : acked.at("type"), "acked") << acked;
    if (acked.is_null() || acked.at("type") != "acked") return UINT64_MAX;
    EXPECT_LE(number(acked.at("checkpoint")), number(acked.at("next_offset")));
    return number(acked.at("checkpoint"));
  }
  [[nodiscard]] bool ack_durably(std::uint64_t offset) {
    return eventually([&] { return ack(offset) >= offset; });
  }

  struct Range {
    std::uint64_t first;
    std::uint64_t next;
  };

  WsClient client;
  json::value answer;
  std::vector<Range> batches;
  std::uint64_t first = 0;
  std::uint64_t next = 0;

 private:
  void take(const json::value& message) {
    for (const json::value& event : message.at("events").as_array()) {
      ASSERT_EQ(number(event.at("offset")), next);
      ASSERT_EQ(std::stoull(event.at("data").at("buy_order_id").as_string().c_str()), next + 1);
      ++next;
    }
  }
};

// What `millrace consumers list` shows of it.
control::ConsumerStatusT listed(Bus& bus, const std::string& name = "risk") {
  if (const auto report = bus.status()) {
    for (const auto& topic : report->topics) {
      for (const auto& consumer : topic->consumers) {
        if (consumer->name == name) return *consumer;
      }
    }
  }
  return {};
}

TEST(GatewayConsumer, KilledTheNextGatewayGoesOnExactlyWhereTheClientAcknowledged) {
  TestCore core("", false);
  const std::uint16_t port = testing::free_port();
  testing::with_gateway(core, port);
  core.start();
  auto bus = connect(core);
  ASSERT_TRUE(becomes(port, 200));
  const pid_t pid = gateway_pid(*bus);
  std::optional<Durable> client(std::in_place, port, R"(,"start":"earliest")");
  ASSERT_TRUE(client->stands()) << client->answer;
  EXPECT_EQ(client->answer.at("level"), "synced");
  std::uint64_t end = 0;
  {
    Feed feed(*bus, "maker", 32);
    ASSERT_TRUE(client->to(5'000));
    feed.stop();
    end = feed.published();
  }
  ASSERT_TRUE(client->to(end));
  const std::uint64_t half = end / 2;
  ASSERT_TRUE(client->ack_durably(half));
  EXPECT_EQ(listed(*bus).acked, half);
  EXPECT_EQ(listed(*bus).pid, pid);

  ::kill(pid, SIGKILL);
  ASSERT_TRUE(eventually([&] {
    const pid_t next = gateway_pid(*bus);
    return next != 0 && next != pid;
  })) << "the core starts it again";
  ASSERT_TRUE(becomes(port, 200));
  client.emplace(port);
  ASSERT_TRUE(client->stands()) << "the dead gateway's names are free: " << client->answer;
  EXPECT_EQ(client->first, half);
  EXPECT_TRUE(client->to(end));
  EXPECT_EQ(listed(*bus).pid, gateway_pid(*bus));
  EXPECT_EQ(listed(*bus).acked, half);
  // Said goodbye: the name is free, and where it was acknowledged stays.
  ASSERT_TRUE(client->ack_durably(half + 1));
  client.reset();
  EXPECT_TRUE(eventually([&] { return listed(*bus).pid == 0; }));
  EXPECT_EQ(listed(*bus).acked, half + 1);
  EXPECT_TRUE(bus->delete_consumer("trade_events", "risk"));
}

TEST(GatewayConsumer, KilledAmongBatchesTheNextGatewaySendsThoseThatWereNotAcknowledgedAgainAsTheyWereOrLarger) {
  TestCore core("", false);
  const std::uint16_t port = testing::free_port();
  testing::with_gateway(core, port);
  core.start();
  auto bus = connect(core);
  ASSERT_TRUE(becomes(port, 200));
  constexpr std::string_view fields = R"(,"start":"earliest","mode":"batched","batch":{"age_ms":5,"count":100})";
  std::optional<Feed> feed(std::in_place, *bus, "maker", 32);
  std::uint64_t checkpoint = 0;
  std::vector<Durable::Range> unacked;
  for (int death = 0; death < 3; ++death) {
    ASSERT_TRUE(becomes(port, 200));
    const pid_t pid = gateway_pid(*bus);
    Durable client(port, std::string(fields));
    ASSERT_TRUE(client.stands()) << client.answer;
    EXPECT_EQ(client.first, checkpoint) << "neither a hole nor a duplicate beyond the checkpoint";
    ASSERT_TRUE(client.to(client.next + 3'000));
    std::size_t again = 0;
    for (const Durable::Range& before : unacked) {
      for (const Durable::Range& now : client.batches) {
        if (now.first != before.first) continue;
        EXPECT_GE(now.next, before.next);
        ++again;
      }
    }
    EXPECT_TRUE(unacked.empty() || again > 0) << "the first that was not acknowledged begins at the checkpoint";
    // In the middle of what was sent, and of what is on its way.
    const std::size_t half = client.batches.size() / 2;
    checkpoint = client.batches[half].next;
    EXPECT_GT(client.batches[half].next, client.batches[half].first + 1);
    client.client.send(R"({"op":"ack","subscription":1,"next_offset":)" + std::to_string(checkpoint - 1) + "}");
    json::value refused;
    do {
      const auto message = client.client.receive();
      ASSERT_TRUE(message);
      refused = json::parse(*message);
    } while (refused.at("type") != "error");
    EXPECT_EQ(refused.at("code"), "ack_inside_batch");
    ASSERT_TRUE(eventually([&] {
      client.client.send(R"({"op":"ack","subscription":1,"next_offset":)" + std::to_string(checkpoint) + "}");
      const auto acked = client.client.receive_type("acked");
      return acked.is_null() || number(acked.at("checkpoint")) >= checkpoint;
    }));
    unacked.assign(client.batches.begin() + static_cast<std::ptrdiff_t>(half) + 1, client.batches.end());
    ::kill(pid, SIGKILL);
    ASSERT_TRUE(eventually([&] {
      const pid_t next = gateway_pid(*bus);
      return next != 0 && next != pid;
    })) << "the core starts it again";
  }
  feed->stop();
  const std::uint64_t end = feed->published();
  ASSERT_TRUE(becomes(port, 200));
  Durable last(port, std::string(fields));
  ASSERT_TRUE(last.stands()) << last.answer;
  EXPECT_EQ(last.first, checkpoint);
  ASSERT_TRUE(last.to(end));
  EXPECT_TRUE(last.ack_durably(end));
}

TEST(GatewayConsumer, ANameIsOneOwnersInSharedMemoryAndOverWebSocket) {
  TestCore core;
  LoneGateway gateway(core);
  auto bus = connect(core);
  {
    Feed feed(*bus, "maker", 8);
    ASSERT_TRUE(eventually([&] { return feed.published() > 100; }));
  }
  const SubscribeOptions options{
      .level = millrace::Level::synced, .start = StartEarliest{}, .on_gap = {}, .consumer = "risk", .take_over = false};
  auto owner = bus->subscribe("trade_events", options);
  ASSERT_TRUE(owner) << owner.error().message;
  while (owner->poll([](const Event&) {}) == 0) {
  }
  EXPECT_TRUE(owner->ack(Offset(10)));
  EXPECT_EQ(Durable(gateway.port()).refusal(), "in_use");

  Durable client(gateway.port(), R"(,"take_over":true)");
  ASSERT_TRUE(client.stands()) << client.answer;
  EXPECT_EQ(client.first, 10u) << "what its last owner had acknowledged counts";
  EXPECT_EQ(owner->ack(Offset(11)).error().code, ErrorCode::fenced);
  EXPECT_EQ(bus->subscribe("trade_events", options).error().code, ErrorCode::in_use);
  EXPECT_EQ(bus->delete_consumer("trade_events", "risk").error().code, ErrorCode::in_use);
  ASSERT_TRUE(client.to(60));
  ASSERT_TRUE(client.ack_durably(40));

  auto heir_options = options;
  heir_options.take_over = true;
  auto heir = bus->subscribe("trade_events", heir_options);
  ASSERT_TRUE(heir) << heir.error().message;
  EXPECT_EQ(heir->follower()->position().offset, Offset(40));
  const json::value fenced = client.other();
  ASSERT_FALSE(fenced.is_null());
  EXPECT_EQ(fenced.at("code"), "fenced");
  EXPECT_EQ(number(fenced.at("next_offset")), client.next);

  // Sessions of one gateway, likewise; and who resets the name fences whoever has it.
  Durable second(gateway.port(), R"(,"take_over":true)");
  ASSERT_TRUE(second.stands()) << second.answer;
  EXPECT_EQ(Durable(gateway.port()).refusal(), "in_use");
  Durable third(gateway.port(), R"(,"take_over":true)");
  ASSERT_TRUE(third.stands()) << third.answer;
  EXPECT_EQ(second.other().at("code"), "fenced");
  EXPECT_TRUE(bus->reset_consumer("trade_events", "risk", Offset(7)));
  EXPECT_EQ(third.other().at("code"), "fenced");
  EXPECT_EQ(Durable(gateway.port()).first, 7u);
}

TEST(GatewayConsumer, AfterTheCoreIsKilledItGoesOnAndWhatItAcknowledgedMeanwhileCounts) {
  TestCore core;
  LoneGateway gateway(core);
  auto bus = connect(core);
  Durable client(gateway.port(), R"(,"start":"earliest")");
  ASSERT_TRUE(client.stands()) << client.answer;
  Feed feed(*bus, "maker", 32);
  for (int death = 0; death < 3; ++death) {
    ASSERT_TRUE(client.to(client.next + 1'000));
    (void)client.ack(client.next - 500);
    core.kill();
    EXPECT_TRUE(becomes(gateway.port(), 503, "the core is away"));
    const std::uint64_t acked = client.next;
    EXPECT_LE(client.ack(acked), acked) << "answered without a core";
    EXPECT_EQ(Durable(gateway.port(), "", "other").refusal(), "core_away");
    core.start();
    EXPECT_TRUE(becomes(gateway.port(), 200));
    ASSERT_TRUE(client.ack_durably(acked));
    EXPECT_GE(listed(*bus).acked, acked);
  }
  feed.stop();
  EXPECT_TRUE(client.to(feed.published()));
  EXPECT_TRUE(client.ack_durably(feed.published()));
}

TEST(GatewayConsumer, ANameThatChangedHandsWhileNoCoreWasThereIsLost) {
  TestCore core;
  LoneGateway gateway(core);
  auto bus = connect(core);
  {
    Feed feed(*bus, "maker", 8);
    ASSERT_TRUE(eventually([&] { return feed.published() > 100; }));
  }
  Durable client(gateway.port(), R"(,"start":"earliest")");
  ASSERT_TRUE(client.to(50));
  ASSERT_TRUE(client.ack_durably(20));
  gateway.process().signal(SIGSTOP);
  core.kill();
  core.start();
  // The gateway sleeps through a whole core, in which somebody else has the name.
  auto next_bus = connect(core);
  {
    auto owner = next_bus->subscribe("trade_events", {.level = millrace::Level::synced,
                                                      .start = StartEarliest{},
                                                      .on_gap = {},
                                                      .consumer = "risk",
                                                      .take_over = false});
    ASSERT_TRUE(owner) << owner.error().message;
    EXPECT_EQ(owner->follower()->position().offset, Offset(20));
    while (owner->poll([](const Event&) {}) == 0) {
    }
    EXPECT_TRUE(owner->ack(Offset(30)));
  }
  next_bus.reset();
  ASSERT_TRUE(eventually([&] { return listed(*bus).pid == 0 && listed(*bus).acked == 30; }));
  gateway.process().signal(SIGCONT);
  const json::value lost = client.other();
  ASSERT_FALSE(lost.is_null());
  EXPECT_EQ(lost.at("code"), "fenced");
  Durable again(gateway.port());
  ASSERT_TRUE(again.stands()) << again.answer;
  EXPECT_EQ(again.first, 30u);
}

TEST(GatewayConsumer, ACoreThatStandsStillIsNamedAndKeepsNoNameThatNobodyHas) {
  TestCore core;
  LoneGateway gateway(core);
  auto bus = connect(core);
  ASSERT_TRUE(millrace::testing::stop_and_wait(core.process().pid()));
  WsClient asker(gateway.port());
  asker.send(R"({"op":"subscribe","id":1,"topic":"trade_events","consumer":"risk"})");
  asker.send(R"({"op":"ping"})");
  const auto pong = asker.receive();
  ASSERT_TRUE(pong);
  EXPECT_EQ(json::parse(*pong).at("type"), "pong") << "nothing else waits for the core";
  const auto refused = asker.receive_type("error");
  ASSERT_FALSE(refused.is_null());
  EXPECT_EQ(refused.at("code"), "core_away");
  EXPECT_EQ(refused.at("id"), 1);
  core.process().signal(SIGCONT);
  // The core answers what nobody waits for any more: the name is given back.
  EXPECT_TRUE(eventually([&] { return Durable(gateway.port()).stands(); }));
}

TEST(GatewayConsumer, ItTakesAReadersPlaceAndIsWellAsLongAsItsClientReads) {
  // Beside the gateway's own there is room for one.
  TestCore core("[topics.trade_events]\nreaders = 2\n");
  LoneGateway gateway(core);
  auto bus = connect(core);
  Durable client(gateway.port());
  ASSERT_TRUE(client.stands()) << client.answer;
  EXPECT_EQ(Durable(gateway.port(), "", "other").refusal(), "exhausted");
  Feed feed(*bus, "maker", 64);
  // More than the ring holds: nothing is held back for a reader that leases no page.
  ASSERT_TRUE(client.to(100'000));
  feed.stop();
  ASSERT_TRUE(client.to(feed.published()));
  EXPECT_TRUE(eventually([&] {
    const auto report = bus->status();
    if (!report) return false;
    for (const auto& topic : report->topics) {
      for (const auto& subscriber : topic->subscribers) {
        if (subscriber->level == control::Level::synced) {
          return subscriber->lag == 0 && subscriber->state == control::ConsumerState::live;
        }
      }
    }
    return false;
  })) << "what is sent counts as read, though nothing is acknowledged yet";
  EXPECT_EQ(listed(*bus).acked, 0u);
}

}  // namespace
}  // namespace millrace::gateway
