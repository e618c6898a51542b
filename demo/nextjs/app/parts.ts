// The parts of the front page, by the names of their routes.
export const parts = [
    "products/newest",
    "products/cheapest",
    "products/popular",
    "products/offers",
    "products/bestsellers",
    "brands",
    "categories",
    "reviews",
    "reviews/best",
    "reviews/rating",
    "customers/count",
    "purchases/count",
];
