// Proves that the command line is read as --help says, and that what is wrong ends the program with an error.
#include "subscribers/realtime/command_line.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace millrace::gateway {
namespace {

std::variant<CommandLine, int> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "millrace-gateway");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

TEST(CommandLineTest, WithoutArgumentsTheDefaultsHold) {
  const auto line = std::get<CommandLine>(parse({}));
  EXPECT_EQ(line.options.address, "127.0.0.1");
  EXPECT_EQ(line.options.port, 8080);
  EXPECT_EQ(line.socket, "");
  EXPECT_EQ(line.options.heartbeat, std::chrono::seconds(1));
  EXPECT_EQ(line.options.client_timeout_told(), std::chrono::seconds(3));
}

TEST(CommandLineTest, EachOptionIsTaken) {
  const auto line = std::get<CommandLine>(
      parse({"--socket", "/run/x.sock", "--listen", "[::1]:9", "--sessions-max", "5", "--heartbeat-ms", "250",
             "--log-level", "warn", "--client-timeout-ms", "600", "--queue", "7", "--queue-max", "70"}));
  EXPECT_EQ(line.socket, "/run/x.sock");
  EXPECT_EQ(line.options.address, "::1");
  EXPECT_EQ(line.options.port, 9);
  EXPECT_EQ(line.options.sessions_max, 5u);
  EXPECT_EQ(line.options.heartbeat, std::chrono::milliseconds(250));
  EXPECT_EQ(line.log_level, "warn");
  EXPECT_EQ(line.options.client_timeout_told(), std::chrono::milliseconds(600));
  EXPECT_EQ(line.options.queue, 7u);
  EXPECT_EQ(line.options.queue_max, 70u);
}

TEST(CommandLineTest, WhatIsWrongEndsWithAnErrorAndHelpWithout) {
  EXPECT_NE(std::get<int>(parse({"--nonsense"})), 0);
  EXPECT_NE(std::get<int>(parse({"--listen", "8080"})), 0);
  EXPECT_NE(std::get<int>(parse({"--sessions-max", "0"})), 0);
  EXPECT_NE(std::get<int>(parse({"--heartbeat-ms", "500", "--client-timeout-ms", "500"})), 0);
  EXPECT_NE(std::get<int>(parse({"--queue", "8", "--queue-max", "7"})), 0);
  EXPECT_EQ(std::get<int>(parse({"--help"})), 0);
}

TEST(CommandLineTest, AnAddressNeedsAPort) {
  for (const std::string_view wrong :
       {"", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", ":80", "::1:80", "[]:80"}) {
    EXPECT_FALSE(parse_listen(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace millrace::gateway
