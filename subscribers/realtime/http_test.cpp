// Proves the HTTP side: each route, and the answer to each kind of bad request.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "subscribers/realtime/testing/with_gateway.hpp"

namespace millrace::gateway {
namespace {

using client::http_raw;
using client::http_request;
using client::HttpReply;
namespace json = boost::json;

class HttpTest : public testing::WithGateway {
 protected:
  void SetUp() override {
    publish(150);
    start();
  }
  [[nodiscard]] HttpReply get(std::string_view target) { return http_request(gateway_->port(), "GET", target); }
  [[nodiscard]] std::string code(const HttpReply& reply) {
    return std::string(json::parse(reply.body).at("code").as_string());
  }
};

TEST_F(HttpTest, HealthIs200WhenAllIsWellAnd503WithReasonsWhenNot) {
  EXPECT_EQ(get("/health").status, 200u);
  source_.set_health({{"topic trade_events: the disk is stalled"}});
  HttpReply reply = get("/health");
  while (reply.status == 200) reply = get("/health");  // the snapshot is taken every quarter of a second
  EXPECT_EQ(reply.status, 503u);
  EXPECT_EQ(json::parse(reply.body).at("reasons").at(0), "topic trade_events: the disk is stalled");
}

TEST_F(HttpTest, HealthNamesEachTopicsStateAndHowFarTheGatewayIsBehindTheRecorder) {
  const auto topic = [&] { return json::parse(get("/health").body).at("topics").at(0); };
  auto trades = topic();
  EXPECT_EQ(trades.at("name"), "trade_events");
  EXPECT_EQ(trades.at("state"), "ok");
  EXPECT_EQ(trades.at("lag"), 0);
  source_.hold_poll(true);
  for (int i = 0; i < 7; ++i) source_.publish_numbered(0, "A");
  source_.set_topic_state(0, TopicState::disk_stalled, "the disk is stalled");
  source_.set_health({{"topic trade_events: the disk is stalled"}, CoreState::silent});
  while (trades.at("state") == "ok" || trades.at("lag") == 0) trades = topic();
  EXPECT_EQ(trades.at("state"), "disk_stalled");
  EXPECT_EQ(trades.at("reason"), "the disk is stalled");
  EXPECT_EQ(trades.at("recorded_end"), 157);
  EXPECT_EQ(trades.at("next_offset"), 150);
  EXPECT_EQ(trades.at("lag"), 7);
  const auto health = json::parse(get("/health").body);
  EXPECT_EQ(health.at("core"), "silent");
  EXPECT_TRUE(health.at("feeder_silent_ms").is_number());
  EXPECT_EQ(health.at("topics").as_array().size(), 2u);
}

TEST_F(HttpTest, TopicsAreListedWithTheirOffsets) {
  const auto topics = json::parse(get("/v1/topics").body);
  ASSERT_EQ(topics.as_array().size(), 2u);
  EXPECT_EQ(topics.at(0).at("name"), "trade_events");
  EXPECT_EQ(topics.at(0).at("first_offset"), 0);
  EXPECT_EQ(topics.at(0).at("next_offset"), 150);
  EXPECT_EQ(topics.at(0).at("key_field"), "instrument");
}

TEST_F(HttpTest, PublishersAreListedWithTheirState) {
  source_.set_publisher_state(0, PublisherState::dead);
  auto publishers = json::parse(get("/v1/publishers").body);
  while (publishers.at(0).at("state") != "dead") publishers = json::parse(get("/v1/publishers").body);
  EXPECT_EQ(publishers.at(0).at("topic"), "trade_events");
  EXPECT_EQ(publishers.at(0).at("name"), "engine");
  EXPECT_EQ(publishers.at(0).at("epoch"), 1);
  EXPECT_EQ(publishers.at(0).at("last_sequence"), 150);
}

TEST_F(HttpTest, EventsOfATopicArePagedByNextOffset) {
  std::uint64_t from = 0;
  std::size_t pages = 0;
  while (from < 150) {
    const auto page =
        json::parse(get("/v1/topics/trade_events/events?from=" + std::to_string(from) + "&limit=40").body);
    for (const auto& event : page.at("events").as_array()) {
      ASSERT_EQ(event.at("offset").to_number<std::uint64_t>(), from++);
    }
    ASSERT_EQ(page.at("next_offset").to_number<std::uint64_t>(), from);
    ++pages;
  }
  EXPECT_EQ(pages, 4u);
  EXPECT_EQ(json::parse(get("/v1/topics/trade_events/events").body).at("count"), 100);
  EXPECT_EQ(json::parse(get("/v1/topics/trade_events/events?from=150").body).at("count"), 0);
}

TEST_F(HttpTest, BadParametersOfEventsAreNamed) {
  const auto code_of = [&](std::string_view target, unsigned status) {
    const HttpReply reply = get(target);
    EXPECT_EQ(reply.status, status) << target;
    return code(reply);
  };
  EXPECT_EQ(code_of("/v1/topics/nothing/events", 404), "unknown_topic");
  EXPECT_EQ(code_of("/v1/topics/trade_events/events?from=x", 400), "bad_parameter");
  EXPECT_EQ(code_of("/v1/topics/trade_events/events?limit=0", 400), "bad_parameter");
  EXPECT_EQ(code_of("/v1/topics/trade_events/events?limit=1001", 400), "bad_parameter");
  EXPECT_EQ(code_of("/v1/topics/trade_events/events?colour=red", 400), "bad_parameter");
  EXPECT_EQ(code_of("/v1/topics/trade_events/events?from=151", 400), "offset_ahead");
  source_.forget_before(0, Offset(10));
  EXPECT_EQ(code_of("/v1/topics/trade_events/events?from=9", 400), "offset_deleted");
}

TEST_F(HttpTest, MetricsAreLinesOfText) {
  const HttpReply reply = get("/metrics");
  EXPECT_EQ(reply.status, 200u);
  EXPECT_TRUE(reply.content_type.starts_with("text/plain"));
  EXPECT_NE(reply.body.find("# TYPE millrace_gateway_events_total counter\nmillrace_gateway_events_total 0\n"),
            std::string::npos);
  EXPECT_NE(reply.body.find("millrace_gateway_topic_next_offset{topic=\"trade_events\"} 150\n"), std::string::npos);
  EXPECT_NE(reply.body.find("\nmillrace_gateway_events_lost_total{reason=\"deleted\"} 0\n"), std::string::npos);
  client::WsClient client(gateway_->port());
  client.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest","filter":{"instrument":"A"}})");
  EXPECT_EQ(client.receive_events(150).size(), 150u);
  EXPECT_NE(get("/metrics")
                .body.find("\nmillrace_gateway_subscription_events_total{slow=\"heal\",outcome=\"delivered\"} 150\n"),
            std::string::npos);
}

TEST_F(HttpTest, ThePageAndItsPartsAreServed) {
  EXPECT_NE(get("/").body.find("<script src=\"app.js\""), std::string::npos);
  EXPECT_TRUE(get("/app.js").content_type.starts_with("text/javascript"));
  EXPECT_TRUE(get("/style.css").content_type.starts_with("text/css"));
}

TEST_F(HttpTest, HeadAnswersWithoutABody) {
  const HttpReply reply = http_request(gateway_->port(), "HEAD", "/health");
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.body, "");
}

TEST_F(HttpTest, BadRequestsAreAnsweredWithTheirCode) {
  const HttpReply nowhere = get("/nowhere");
  EXPECT_EQ(nowhere.status, 404u);
  EXPECT_EQ(code(nowhere), "not_found");
  const HttpReply post = http_request(gateway_->port(), "POST", "/health");
  EXPECT_EQ(post.status, 405u);
  EXPECT_EQ(code(post), "method_not_allowed");
  EXPECT_EQ(get("/v1/ws").status, 426u);
  const HttpReply garbage = http_raw(gateway_->port(), "\x16\x03\x01 this is no HTTP\r\n\r\n");
  EXPECT_EQ(garbage.status, 400u);
  EXPECT_EQ(code(garbage), "bad_http");
  std::string long_header = "GET / HTTP/1.1\r\nX-Long: ";
  long_header.append(20'000, 'x');
  long_header += "\r\n\r\n";
  const HttpReply header = http_raw(gateway_->port(), long_header);
  EXPECT_EQ(header.status, 431u);
  EXPECT_EQ(code(header), "header_too_large");
  const HttpReply body = http_raw(gateway_->port(), "POST / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n");
  EXPECT_EQ(body.status, 413u);
  EXPECT_EQ(code(body), "body_too_large");
  EXPECT_EQ(gateway_->count(Counter::http_errors), 6u);
}

}  // namespace
}  // namespace millrace::gateway
