# Write r_clusters.json: values that `intraclass` and `cluster_interaction` are compared with.
#
# Run from the repository root: Rscript tests/reference/make_r_clusters.R
# Needs R and its package clubSandwich (Debian: r-cran-clubsandwich).
suppressMessages(library(clubSandwich))

number <- function(x) format(x, digits = 15)
numbers <- function(x) paste0("[", paste(vapply(x, number, ""), collapse = ", "), "]")

# the analysis of variance, and the interval of its F ratio, as Donner (1986) gives both
anova_of <- function(name, y, g) {
  table <- anova(lm(y ~ factor(g)))
  sizes <- as.vector(table(g))
  n <- length(y)
  k <- length(sizes)
  size <- (n - sum(sizes^2) / n) / (k - 1)
  f <- table$`F value`[1]
  of <- function(f) (f - 1) / (f + size - 1)
  ends <- of(f / qf(c(0.975, 0.025), k - 1, n - k))
  codes <- as.integer(factor(g))
  sprintf(paste0('  {"name": "%s", "values": %s, "clusters": %s,\n',
                 '   "between": %s, "within": %s, "estimate": %s, "interval": %s}'),
          name, numbers(y), numbers(codes), number(table$`Mean Sq`[1]),
          number(table$`Mean Sq`[2]), number(of(f)), numbers(ends))
}

# yields of dyestuff (Davies 1949; Box and Tiao 1973, table 5.1.3): published components of
# variance 1764.05 between batches and 2451.25 within
dyestuff <- c(1545, 1440, 1440, 1520, 1580, 1540, 1555, 1490, 1560, 1495, 1595, 1550, 1605, 1510,
              1560, 1445, 1440, 1595, 1465, 1545, 1595, 1630, 1515, 1635, 1625, 1520, 1455, 1450,
              1480, 1445)
intraclass <- c(
  anova_of("dyestuff", dyestuff, rep(1:6, each = 5)),
  anova_of("chickwts", chickwts$weight, chickwts$feed),
  anova_of("warpbreaks by square", warpbreaks$breaks[1:40], (1:40)^2 %% 11)
)

# strata and clusters of changes, and the Wald test that their means are equal: CR3, Hotelling's T
wald_of <- function(y, h, g) {
  fit <- lm(y ~ 0 + factor(h))
  robust <- vcovCR(fit, cluster = g, type = "CR3")
  test <- Wald_test(fit, constrain_equal(1:nlevels(factor(h))), vcov = robust, test = "HTZ")
  sprintf(paste0('  {"values": %s, "strata": %s, "clusters": %s,\n',
                 '   "variance": %s, "f": %s, "df": %s, "p": %s}'),
          numbers(y), numbers(h), numbers(g), numbers(as.vector(robust)), number(test$Fstat),
          number(test$df_denom), number(test$p_val))
}
items <- 0:119
changes <- c(-1, 0, 0, 1, 0, 0, 0)[(items^2 + 3 * items) %% 7 + 1] - (items %% 11 == 0)
# ten clusters of ten, losses 0 to 4 in one stratum and as many gains in the other: there
# `cluster_interaction` departs in nothing from the plain test
mirrored <- unlist(lapply(0:4, function(k) c(rep(-1, k), rep(0, 10 - k))))
interaction <- c(
  wald_of(c(mirrored, -mirrored), rep(0:1, each = 50), rep(0:9, each = 10)),
  wald_of(changes, (items %/% 10) %% 2, items %/% 10),          # clusters within strata
  wald_of(changes - (items %% 3 == 1), items %% 3, (items^2 %/% 7) %% 9),           # across them
  wald_of(changes * (items %% 5), (items %/% 8) %% 3, (items %/% 6) %% 13)
)

writeLines(c(
  sprintf('{"made_with": {"R": "%s", "clubSandwich": "%s"},', getRversion(),
          packageVersion("clubSandwich")),
  '"intraclass": [', paste(intraclass, collapse = ",\n"), '],',
  '"interaction": [', paste(interaction, collapse = ",\n"), ']}'
), "tests/reference/r_clusters.json")
